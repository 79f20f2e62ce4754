"""The import contracts are kept, and each of them can be broken."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")
ROOMS = {"connector": "connector", "sandbox": "l2c_sandbox", "jobs": "l2c_jobs"}
PLANTED = {
    "connector/kernel/money.py": "import connector.billing",
    "connector/ordering/orders.py": "import connector.charging",
    "connector/charging/charges.py": "import connector.ledger",
    "connector/billing/payments.py": "import connector.mediation, flask",
    "connector/sync/mapping/definition.py": "import connector.inventory",
    "connector/sync/inbox/store.py": "import connector.sync.push",
    "connector/flows/win.py": "import connector.adapters.salesforce",
    "connector/catalog/load.py": "import requests",
    "connector/adapters/salesforce/client.py": "import connector.adapters.documents",
    "connector/bootstrap/app.py": "import l2c_sandbox, l2c_jobs",
    "l2c_jobs/tidy_queue.py": "import connector.web",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for folder, package in ROOMS.items():
        shutil.copytree(
            ROOT / folder, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(LINT), "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_planted_violation_breaks_every_contract(copy: Path) -> None:
    for file, line in PLANTED.items():
        path = copy / file
        path.write_text(f"{path.read_text()}\n{line}\n")

    said = lint(copy)

    assert said.returncode == 1
    verdicts = [line for line in said.stdout.splitlines() if line.endswith(("KEPT", "BROKEN"))]
    assert len(verdicts) >= 12
    assert [line for line in verdicts if line.endswith("KEPT")] == []


def test_the_contracts_are_kept(copy: Path) -> None:
    said = lint(copy)

    assert said.returncode == 0, said.stdout
