"""`pip install` alone gives a working service."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    # Built from a copy of what git knows: neither build leftovers nor scratch files get in.
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    for file in filter(None, files):
        if (ROOT / file).is_file():
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            (source / file).write_bytes((ROOT / file).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--wheel-dir", str(folder), str(source)],
        check=True,
    )  # fmt: skip
    return next(folder.glob("*.whl"))


def test_holds_nothing_that_could_be_somebody_elses(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    top = {name.split("/")[0] for name in names}
    ours = {name for name in top if name == "connector" or name.startswith("l2c_")}
    assert top - ours == set()


@pytest.mark.parametrize(
    ("folder", "packed"),
    [
        ("connector", "connector"),
        ("sandbox", "l2c_sandbox"),
        ("jobs", "l2c_jobs"),
        ("mappings", "l2c_mappings"),
        ("salesforce", "l2c_salesforce"),
    ],
)
def test_holds_every_file_but_the_readmes(wheel: Path, folder: str, packed: str) -> None:
    known = subprocess.run(
        ["git", "ls-files", folder], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    wanted = {
        file.replace(folder, packed, 1)
        for file in known
        if Path(file).suffix != ".md" and (ROOT / file).is_file()
    }

    assert wanted
    assert wanted - set(zipfile.ZipFile(wheel).namelist()) == set()


@pytest.mark.slow
def test_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--require-hashes", "--no-deps", "-r", str(ROOT / "requirements.lock")],
        check=True,
    )  # fmt: skip
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-deps", str(wheel)],
        check=True,
    )  # fmt: skip

    told = subprocess.run(
        [str(environment / "bin" / "l2c"), "--version"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    found = subprocess.run(
        [str(python), "-c",
         "from connector.resources import mappings_dir, salesforce_dir\n"
         "from connector.background.registry import load_jobs\n"
         "print(mappings_dir(), salesforce_dir(), len(load_jobs()))"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip

    assert told.startswith("l2c")
    assert str(environment) in found
    assert "l2c_mappings" in found
