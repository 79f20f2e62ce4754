"""jsforce, unmodified, against the local org; `make test-clients` installs it first."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from l2c_sandbox.server import SandboxServer

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "jsforce"
PATIENCE_S = 300


@pytest.mark.parametrize("suite", sorted(path.name for path in FOLDER.glob("*.test.mjs")))
def test_jsforce_passes(server: SandboxServer, suite: str) -> None:
    node = shutil.which("node")
    assert node is not None, "node is missing: install Node.js 20.14 or later, with npm"
    assert (FOLDER / "node_modules" / "jsforce").is_dir(), "run `make test-clients`: it installs it"
    environment = os.environ | {
        "L2C_TEST_ORG": json.dumps(server.facts()),
        "NODE_EXTRA_CA_CERTS": str(server.ca_file),
    }

    ended = subprocess.run(
        # jsforce now and then leaves a request open that was answered early, and node with it.
        [node, "--test", "--test-force-exit", "--test-reporter=tap", suite],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )

    said = ended.stdout + ended.stderr
    counted = {name: int(n) for name, n in re.findall(r"^# (pass|fail) (\d+)$", said, re.M)}
    assert ended.returncode == 0, said
    assert counted["fail"] == 0
    assert counted["pass"] >= len(re.findall(r"^ *it\(", (FOLDER / suite).read_text(), re.M)), said
