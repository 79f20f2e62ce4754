"""Holds the mapping files against the hub's own tables and views."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from connector.sync.mapping.definition import Mapping, Mappings
from connector.sync.mapping.findings import Finding, Way
from connector.yaml_file import Location, read_yaml

_COLUMNS = text("""
    SELECT table_name, column_name FROM information_schema.columns
     WHERE table_schema = current_schema()
""")
_VIEW = (
    "Correct the column, or add it to the view in connector/store/views/50_push.sql; the view has: "
)


def check_hub(tx: Connection, mappings: Mappings) -> tuple[Finding, ...]:
    """Return every table, view and column a mapping names and the hub does not have."""
    columns: dict[str, set[str]] = {}
    for row in tx.execute(_COLUMNS):
        columns.setdefault(row.table_name, set()).add(row.column_name)
    found: list[Finding] = []
    for mapping in mappings:
        file = read_yaml(mapping.file)
        for at, name, way, problem, remedy in _missing(mapping, columns):
            found.append(
                Finding(
                    file=mapping.file,
                    line=file.line_of(at),
                    entity=mapping.entity,
                    object=mapping.object,
                    field=name,
                    problem=problem,
                    remedy=remedy,
                    halts=way,
                )
            )
    return tuple(found)


_Missing = Iterator[tuple[Location, str, Way, str, str]]


def _missing(mapping: Mapping, columns: dict[str, set[str]]) -> _Missing:
    if mapping.push is not None:
        yield from _missing_in_view(mapping, columns)
    if mapping.pull is not None:
        yield from _missing_in_table(mapping, columns)


def _missing_in_view(mapping: Mapping, columns: dict[str, set[str]]) -> _Missing:
    view = mapping.push_view
    if view not in columns:
        place = ("view",) if mapping.view else ("entity",)
        said, remedy = f"The hub has no view {view}.", "Make the view, or name another in `view`."
        yield place, "*", "push", said, remedy
        return
    listed = _VIEW + ", ".join(sorted(columns[view])) + "."
    for at, field, column in _wanted(mapping):
        if column not in columns[view]:
            yield at, field, "push", f"The view {view} has no column {column}.", listed


def _wanted(mapping: Mapping) -> Iterator[tuple[Location, str, str]]:
    for name, field in mapping.fields.items():
        yield ("fields", name), name, field.column
        if field.when is not None and field.when.column is not None:
            yield ("fields", name, "when"), name, field.when.column
    for name, parent in mapping.parents.items():
        yield ("parents", name), name, parent.column
    for key in ("sfid", "key_from"):
        if column := getattr(mapping.pushed, key):
            yield ("push", key), "*", column
    if mapping.currency is not None:
        yield ("currency",), "*", mapping.currency


def _missing_in_table(mapping: Mapping, columns: dict[str, set[str]]) -> _Missing:
    assert mapping.pull is not None
    if mapping.table not in columns:
        said = f"The hub has no table {mapping.table}."
        yield ("table",), "*", "pull", said, "Correct `table`."
        return
    for name, field in mapping.pull.fields.items():
        if field.to not in columns[mapping.table]:
            said = f"The table {mapping.table} has no column {field.to}."
            remedy = f"Correct `to`; there are: {', '.join(sorted(columns[mapping.table]))}."
            yield ("pull", "fields", name), name, "pull", said, remedy
