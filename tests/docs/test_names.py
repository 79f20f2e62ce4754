"""What the documents name exists: files, functions, commands, pages, make targets."""

import ast
import re
from functools import cache
from pathlib import Path

import click
import pytest

from connector.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if page.parent.name != "reference"
)
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
# Files a user makes, not we.
MADE_BY_USERS = {"config.yaml", ".venv", ".l2c", "docs/images/console.png"}
PLACES = (
    "connector/",
    "sandbox/",
    "jobs/",
    "mappings/",
    "salesforce/",
    "tests/",
    "docs/",
    "bench/",
)

each_page = pytest.mark.parametrize("page", PAGES, ids=IDS)


@cache
def defined(path: Path) -> frozenset[str]:
    """Return the functions, classes, methods and constants of a module, dotted where inside."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef)
            }
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(names)


def code_spans(page: Path) -> list[str]:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


def links_of(page: Path) -> list[Path]:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = [target.split("#")[0] for target in targets if "://" not in target]
    return [page.parent / one for one in local if one]


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [one for one in links_of(page) if not one.exists()] == []


def test_the_page_of_the_architecture_names_every_room() -> None:
    told = set(code_spans(ROOT / "docs" / "concepts" / "architecture.md"))
    rooms = {f"connector/{path.parent.name}/" for path in ROOT.glob("connector/*/__init__.py")}

    assert "connector/kernel/" in rooms
    assert rooms - told == set()


def test_every_document_is_found_from_the_readme() -> None:
    found, ahead = set(), {ROOT / "README.md"}
    while ahead:  # ends: each page is looked at once
        found |= ahead
        linked = {one.resolve() for page in ahead for one in links_of(page)}
        ahead = {one for one in linked if one.suffix == ".md"} - found

    assert set((ROOT / "docs").rglob("*.md")) - found == set()


@each_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = {span.split(":")[0] for span in code_spans(page) if span.startswith(PLACES)}
    missing = {one for one in named if "<" not in one and "*" not in one} - MADE_BY_USERS

    assert [one for one in sorted(missing) if not (ROOT / one).exists()] == []


@each_page
def test_every_function_that_is_named_exists(page: Path) -> None:
    """A function is named as `path/file.py: function`, several with commas."""
    wrong = []
    for span in code_spans(page):
        match = re.fullmatch(r"([\w/]+\.py): ([\w., ]+)", span)
        if match is None:
            continue
        path = ROOT / match[1]
        names = {name.strip() for name in match[2].split(",")}
        wrong += [f"{match[1]}: {name}" for name in names - defined(path)]

    assert wrong == []


def known_command(words: list[str]) -> bool:
    """Return whether the words begin with a command of ours, as deep as they go."""
    command: click.Command = cli
    for word in words:
        if not isinstance(command, click.Group):
            return True
        if word.startswith(("-", "[", "<")) or word.isupper():
            return True
        inner = command.get_command(click.Context(command), word)
        if inner is None:
            return False
        command = inner
    return True


def commands(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [
        re.sub(r"^.*?\bl2c ", "l2c ", one)
        for one in [*lines, *code_spans(page)]
        if re.match(r"(\.venv/bin/)?l2c \S", one)
    ]


@each_page
def test_every_command_that_is_named_exists(page: Path) -> None:
    wrong = [one for one in commands(page) if not known_command(one.split()[1:])]

    assert wrong == []


@each_page
def test_every_option_that_is_named_exists(page: Path) -> None:
    wrong = []
    for one in commands(page):
        command: click.Command = cli
        words = re.split(r"\s+#|[|>]", one)[0].split()[1:]
        known = {name for parameter in command.params for name in parameter.opts}
        for word in words:
            if isinstance(command, click.Group) and (
                inner := command.get_command(click.Context(command), word)
            ):
                command = inner
                known |= {name for parameter in command.params for name in parameter.opts}
            if word.startswith("--") and word.split("=")[0] not in {*known, "--help"}:
                wrong.append(one)

    assert [one for one in wrong if not one.startswith("l2c sandbox")] == []


@each_page
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, flags=re.MULTILINE))

    assert named - targets == set()


def test_the_rules_see_what_is_wrong(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`connector/nowhere.py` `connector/errors.py: Nothing`\n```sh\nl2c fly --high\n```\n"
    )

    with pytest.raises(AssertionError):
        test_every_file_that_is_named_exists(page)
    with pytest.raises(AssertionError):
        test_every_function_that_is_named_exists(page)
    with pytest.raises(AssertionError):
        test_every_command_that_is_named_exists(page)


def remedies() -> list[tuple[str, str]]:
    """Return every command that a text of the program tells its user to run."""
    found = []
    for path in sorted((ROOT / "connector").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found += [
                    (f"{path.relative_to(ROOT)}:{node.lineno}", told)
                    for told in re.findall(r"\bl2c ((?:[a-z][a-z-]+ ?){1,2})", node.value)
                ]
    return found


def test_every_remedy_names_a_command_that_exists() -> None:
    nouns = set(cli.list_commands(click.Context(cli)))
    told = [(where, words.split()) for where, words in remedies()]

    assert [
        f"{where}: l2c {' '.join(words)}"
        for where, words in told
        if words[0] in nouns and not known_command(words)
    ] == []
    assert any(words[0] in nouns for _, words in told)
