"""`l2c sandbox` as a script starts and ends it."""

import json
import signal
import subprocess
import sys

import pytest
import requests

COMMAND = (sys.executable, "-c", "from connector.cli.main import main; main()", "sandbox")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_org_ends_with_the_command(ending: signal.Signals) -> None:
    with subprocess.Popen([*COMMAND, "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["base_url"]
        assert requests.get(f"{address}/services/data", timeout=10).ok

        process.send_signal(ending)
        process.wait(timeout=20)

    with pytest.raises(requests.ConnectionError):
        requests.get(f"{address}/services/data", timeout=10)


def test_a_wrong_option_is_told_and_fails() -> None:
    words = [*COMMAND, "--nonsense"]

    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)

    assert (done.returncode, "--nonsense" in done.stderr) == (2, True)
