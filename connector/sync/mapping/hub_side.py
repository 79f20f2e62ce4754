"""Holds the mapping files against the hub's own tables and views.

A column of another kind than the mapping says would break the statement that reads or writes a
thousand records, of this entity and of those behind it: so it is found here.
"""

from collections.abc import Collection, Iterator

from sqlalchemy import Connection, text

from connector.sync.mapping.definition import FieldType, Mapping, Mappings
from connector.sync.mapping.findings import Finding, Way
from connector.yaml_file import Location, read_yaml

_COLUMNS = text("""
    SELECT table_name, column_name, data_type FROM information_schema.columns
     WHERE table_schema = current_schema()
""")
_VIEW = (
    "Correct the column, or add it to the view in connector/store/views/50_push.sql; the view has: "
)
_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric"})
_DAYS = frozenset({"date", "timestamp without time zone", "timestamp with time zone"})
_WORDS = frozenset({"text", "character varying", "character"})
# Any column can be sent as text; only text can be filled with it.
_SENT_FROM: dict[FieldType, frozenset[str]] = {
    **dict.fromkeys((FieldType.INTEGER, FieldType.NUMBER, FieldType.MONEY), _NUMBERS),
    FieldType.BOOLEAN: frozenset({"boolean"}),
    FieldType.DATE: _DAYS,
    FieldType.DATETIME: _DAYS,
}
_TAKEN_INTO = {
    **dict.fromkeys(FieldType, _WORDS),
    **dict.fromkeys((FieldType.INTEGER, FieldType.NUMBER, FieldType.MONEY), _NUMBERS),
    FieldType.BOOLEAN: frozenset({"boolean"}),
    FieldType.DATE: _WORDS | {"date"},
    FieldType.DATETIME: _WORDS | {"timestamp with time zone"},
}
# What sync itself says of a record: which it is, and whether it is there.
_OWN = frozenset({"id", "sfid", "link_state", "deleted_at"})

_Columns = dict[str, dict[str, str]]  # table or view -> column -> type


def check_hub(
    tx: Connection, mappings: Mappings, *, flows: Collection[str] | None = None
) -> tuple[Finding, ...]:
    """Return every table, view and column that is not there or not of the kind a mapping says.

    Where the names of the flows are given, also every ask that none of them carries out.
    """
    columns: _Columns = {}
    for row in tx.execute(_COLUMNS):
        columns.setdefault(row.table_name, {})[row.column_name] = row.data_type
    found: list[Finding] = []
    for mapping in mappings:
        file = read_yaml(mapping.file)
        for at, name, way, problem, remedy in (
            *_missing(mapping, columns),
            *_without_flow(mapping, flows),
        ):
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


_Missing = Iterator[tuple[Location, str, Way | None, str, str]]


def _missing(mapping: Mapping, columns: _Columns) -> _Missing:
    if mapping.push is not None:
        yield from _missing_in_view(mapping, columns)
    if mapping.pull is not None:
        yield from _missing_in_table(mapping, columns)


def _without_flow(mapping: Mapping, flows: Collection[str] | None) -> _Missing:
    for place, rule in enumerate(mapping.intents):
        if flows is not None and rule.flow not in flows:
            said = f"No flow is called {rule.flow!r}: what people ask for waits."
            remedy = f"Correct `flow`; there are: {', '.join(sorted(flows))}."
            yield ("intents", place, "flow"), rule.when.field, None, said, remedy


def _missing_in_view(mapping: Mapping, columns: _Columns) -> _Missing:
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
    for name, sent in mapping.fields.items():
        kind = columns[view].get(sent.column)
        if kind is not None and kind not in _SENT_FROM.get(sent.type, (kind,)):
            said = f"The column {sent.column} is {kind}, not {sent.type.value}."
            yield ("fields", name), name, "push", said, "Correct `from` or `type`."


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


def _missing_in_table(mapping: Mapping, columns: _Columns) -> _Missing:
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
            continue
        kind = columns[mapping.table][field.to]
        if field.to in _OWN:
            said = f"The column {field.to} is filled by sync itself."
            yield ("pull", "fields", name), name, "pull", said, "Name another column in `to`."
        elif field.transform is None and kind not in _TAKEN_INTO[field.type]:
            said = f"The column {field.to} is {kind}, not {field.type.value}."
            remedy = "Correct `to` or `type`, or name a transform."
            yield ("pull", "fields", name), name, "pull", said, remedy
