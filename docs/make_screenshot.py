"""Takes the README's picture of the console from a run of the demo.

Run it by `make screenshot`. It needs Chromium or Chrome (Debian and Ubuntu: apt install chromium).
"""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

TARGET = Path(__file__).parent / "images" / "console.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CUSTOMER = "Zahnzentrum Rhein GmbH"
CALLS = 2_000
SIZE = "1280,1960"
PATIENCE_S = 300


def main() -> None:
    """Tell the story, open the customer's page with one amount explained, take the picture."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"There is no browser here; install one of: {', '.join(BROWSERS)}.")
    with tempfile.TemporaryDirectory(prefix="l2c-picture-") as scratch:
        folder = Path(scratch)
        with demo(folder / "demo") as console:
            photograph(browser, page_of(console), folder)
    sys.stdout.write(f"{TARGET}\n")


@contextmanager
def demo(folder: Path) -> Iterator[str]:
    """Run the demo until it stays up; yield the address of its console."""
    program = "from connector.cli.main import main; main()"
    arguments = ["demo", "--keep", str(folder), "--calls", str(CALLS)]
    told = folder.with_name("told.txt")
    with (
        told.open("w", encoding="utf-8") as output,
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", program, *arguments], stdout=output, stderr=output
        ) as process,
    ):
        try:
            yield _address(told, process)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _address(told: Path, process: subprocess.Popen[bytes]) -> str:
    for _ in range(PATIENCE_S):
        text = told.read_text(encoding="utf-8")
        found = re.search(r"http://\S+/console/", text)
        if found:
            return found.group()
        if process.poll() is not None:
            sys.exit(f"The demo has ended:\n{text[-2000:]}")
        time.sleep(1)
    sys.exit(f"The demo did not stay up within {PATIENCE_S} s.")


def page_of(console: str) -> str:
    """Return the address of the customer's page with the newest document's first line explained."""
    with requests.Session() as http:
        http.trust_env = False
        start = http.get(console, timeout=30).text
        account = re.search(rf'accounts/(\d+)">{CUSTOMER}', start)
        if account is None:
            sys.exit(f"The console does not list {CUSTOMER}.")
        address = f"{console}accounts/{account.group(1)}"
        line = re.search(r"\?line=(\d+)", http.get(address, timeout=30).text)
    if line is None:
        sys.exit(f"{CUSTOMER} has no invoice line.")
    return f"{address}?line={line.group(1)}"


def photograph(browser: str, address: str, folder: Path) -> None:
    """Let a browser without a window take the picture."""
    TARGET.parent.mkdir(exist_ok=True)
    subprocess.run(  # noqa: S603 - the browser found above
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder / 'browser'}",
            f"--window-size={SIZE}",
            f"--screenshot={TARGET}",
            address,
        ],
        check=True,
        timeout=120,
        capture_output=True,
    )


if __name__ == "__main__":
    main()
