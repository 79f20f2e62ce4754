"""The rules of the house that no linter knows."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("connector", "sandbox", "jobs")
# Where money is computed; a float there is a wrong cent waiting for its day.
MONEY = ("kernel", "catalog", "rating", "charging", "billing", "ledger", "rebilling")
# Measuring how long something takes is no money.
FLOAT_ALLOWED = {"monotonic_s"}
CLOCKS = {"connector/kernel/clock.py", "sandbox/clock.py"}
CLOCK_CALLS = {
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"),
    ("time", "time"), ("time", "time_ns"), ("time", "localtime"), ("time", "gmtime"),
}  # fmt: skip
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
README_SAYS = ("owns", "does not own", "times", "invariants")
CONTEXTS = (
    "parties", "catalog", "mediation", "rating", "rebilling", "charging", "billing", "ledger",
    "ordering", "inventory",
)  # fmt: skip


def sources(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def floats_in(module: ast.Module) -> Iterator[ast.expr]:
    """Yield every place that makes a float or names the type, but for measured durations."""
    durations = {
        id(part)
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef) and node.name in FLOAT_ALLOWED
        for part in ast.walk(node)
    }
    for node in ast.walk(module):
        literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
        named = isinstance(node, ast.Name) and node.id == "float"
        column = isinstance(node, ast.Attribute) and node.attr in {"Float", "Double", "float64"}
        if (literal or named or column) and id(node) not in durations:
            assert isinstance(node, ast.expr)
            yield node


def clock_reads_in(module: ast.Module) -> Iterator[ast.Call]:
    """Yield every call that asks the machine what time it is."""
    for node in ast.walk(module):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        owner_name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
        if (owner_name, node.func.attr) in CLOCK_CALLS:
            yield node


def test_no_float_where_money_is_computed() -> None:
    found = [
        f"{name(path)}:{node.lineno}"
        for path in sources(*(f"connector/{room}" for room in MONEY))
        for node in floats_in(tree(path))
    ]

    assert found == []


def test_no_floating_column_in_the_store() -> None:
    schema = (ROOT / "connector/store/migrations/versions/0001_hub.sql").read_text().upper()

    assert [kind for kind in ("DOUBLE PRECISION", " REAL", " FLOAT") if kind in schema] == []


def test_nobody_below_the_interface_reads_the_clock() -> None:
    found = [
        f"{name(path)}:{node.lineno}"
        for path in sources(*ROOMS)
        if name(path) not in CLOCKS
        for node in clock_reads_in(tree(path))
    ]

    assert found == []


@pytest.mark.parametrize(
    "broken",
    ["x = 0.1", "def f(a: float): ...", "x = float('1')", "t = sa.Column(sa.Double)"],
)
def test_the_float_rule_finds_floats(broken: str) -> None:
    assert list(floats_in(ast.parse(broken)))


@pytest.mark.parametrize(
    "broken", ["datetime.now(UTC)", "dt.datetime.now()", "time.time()", "date.today()"]
)
def test_the_clock_rule_finds_clocks(broken: str) -> None:
    assert list(clock_reads_in(ast.parse(broken)))


def test_a_file_has_one_idea() -> None:
    long = {
        name(path): lines
        for path in sources(*ROOMS, "tests")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES_MAX
        and "generated" not in path.parts
    }

    assert long == {}


def test_a_function_fits_a_screen() -> None:
    long = {
        f"{name(path)}:{node.name}": lines
        for path in sources(*ROOMS)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and (lines := node.end_lineno - node.lineno + 1) > FUNCTION_LINES_MAX
    }

    assert long == {}


def test_no_drawer_for_odds_and_ends() -> None:
    banned = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}

    assert [name(path) for path in sources(*ROOMS) if path.stem in banned] == []


def test_every_module_is_used() -> None:
    """A module is used when another one imports it (a test is no user), or a name starts it."""
    modules = {module_name(path): path for path in sources("connector", "sandbox")}
    imported = {
        wanted
        for path in sources(*ROOMS, "bench")
        for wanted in imports_of(path)
        if modules.get(wanted) != path
    }
    named = "".join(
        (ROOT / file).read_text()
        for file in ("pyproject.toml", "Makefile", "connector/cli/main.py",
                     "connector/store/migrate.py", "connector/web/app.py")
    )  # fmt: skip
    unused = [
        name(path)
        for module, path in modules.items()
        if path.name not in {"__init__.py", "__main__.py"}
        and "migrations" not in path.parts
        and module not in imported
        and module not in named
    ]

    assert unused == []


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    parts[0] = {"sandbox": "l2c_sandbox", "jobs": "l2c_jobs"}.get(parts[0], parts[0])
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[str]:
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("context", CONTEXTS)
def test_every_context_says_what_it_owns(context: str) -> None:
    folder = ROOT / "connector" / context
    if not list(folder.glob("*.py")):
        pytest.skip("comes with its issue")

    readme = (folder / "README.md").read_text(encoding="utf-8").lower()

    assert [word for word in README_SAYS if word not in readme] == []
