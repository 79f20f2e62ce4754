"""What a newcomer's machine gets is complete, pinned and free of this one's traces."""

import json
import re
import stat
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()


def test_every_locked_package_is_pinned_and_hashed() -> None:
    blocks = re.split(r"\n(?=\S)", LOCK.strip())

    assert len(blocks) > 50
    assert [
        block.splitlines()[0]
        for block in blocks
        if not re.fullmatch(
            r"[a-z0-9.-]+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", block.strip()
        )
    ] == []


def test_the_lock_names_no_host_and_no_option() -> None:
    assert "://" not in LOCK
    assert not re.search(r"^\s*-(?!-hash=)", LOCK, flags=re.MULTILINE)


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = project["dependencies"] + project["optional-dependencies"]["dev"]
    wanted = {re.split(r"[\[>=<]", requirement)[0] for requirement in requirements}
    locked = set(re.findall(r"^([a-z0-9-]+)==", LOCK, flags=re.MULTILINE))

    assert {"flask", "psycopg", "pytest"} <= wanted
    assert wanted - locked == set()


def test_the_packages_of_other_languages_are_hashed_and_name_no_place() -> None:
    lock = json.loads((ROOT / "tests" / "clients" / "jsforce" / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}

    assert packages["node_modules/jsforce"]["version"].startswith("3.")
    assert [name for name, entry in packages.items() if "integrity" not in entry] == []
    assert [name for name, entry in packages.items() if "resolved" in entry] == []


def test_the_check_script_runs_both_targets() -> None:
    script = ROOT / ".ci" / "run"

    assert script.stat().st_mode & stat.S_IXUSR
    assert "make check" in script.read_text()
    assert "make test" in script.read_text()


def test_the_image_takes_only_what_it_names() -> None:
    listed = (ROOT / ".dockerignore").read_text().split()
    wanted = {line[1:] for line in listed if line.startswith("!")}

    assert listed[0] == "*"
    assert [one for one in wanted if not (ROOT / one).exists()] == []


def test_every_yaml_file_of_ours_can_be_read() -> None:
    for file in (ROOT / "mappings").rglob("*.yaml"):
        yaml.safe_load(file.read_text(encoding="utf-8"))


def test_the_license_is_the_apache_license() -> None:
    text = (ROOT / "LICENSE").read_text()

    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
