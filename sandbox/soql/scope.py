"""Resolves field paths against the schema and collects the joins they need."""

from dataclasses import dataclass

from ..errors import ApiError
from ..schema.currencies import CURRENCY
from ..schema.model import Field, FieldType, ObjectType, Schema
from ..storage.folding import COLLATION
from ..storage.money import rate_sql
from ..storage.tables import quoted, value_sql
from .ast import Path
from .lexer import error_at

MAX_LEVELS = 5
MAX_PATHS = 55
MAX_JOINS = 62  # SQLite joins at most 64 tables
HINT_FIELD = (
    "If you are attempting to use a custom field, be sure to append the '__c' after the custom "
    "field name. Please reference your WSDL or the describe call for the appropriate names."
)
HINT_RELATIONSHIP = (
    "If you are attempting to use a custom relationship, be sure to append the '__r' after the "
    "custom relationship name. Please reference your WSDL or the describe call for the "
    "appropriate names."
)
HINT_OBJECT = (
    "If you are attempting to use a custom object, be sure to append the '__c' after the entity "
    "name. Please reference your WSDL or the describe call for the appropriate names."
)
RATE = "'\x1frate'"  # stands in the SQL for the rate of the user's currency
TYPE_FIELD = Field(name="Type", label="Type", type=FieldType.STRING, length=40)


@dataclass(frozen=True, slots=True)
class Table:
    """One joined table."""

    alias: str
    item: ObjectType


@dataclass(frozen=True, slots=True)
class Resolved:
    """A field in SQL. `parents` are the tables on the way, each under its canonical name."""

    sql: str
    field: Field
    parents: tuple[tuple[str, str], ...]  # relationship name, SQL of that parent's id
    table: Table
    rate_sql: str = ""  # of the currency of an amount, where there are several


class Scope:
    """The tables of one query."""

    def __init__(
        self, *, text: str, schema: Schema, item: ObjectType, alias: str | None, prefix: str
    ) -> None:
        self._text = text
        self._schema = schema
        self._prefix = prefix
        self.root = Table(alias=f"{prefix}0", item=item)
        self._alias = alias.lower() if alias else None
        self._joins: list[str] = []
        self._tables: dict[tuple[str, ...], Table] = {}
        self._paths: set[tuple[str, ...]] = set()

    def from_sql(self) -> str:
        """Return the FROM clause with all joins."""
        first = f"{quoted(self.root.item.name)} AS {self.root.alias}"
        return " ".join([first, *self._joins])

    def resolve(self, path: Path) -> Resolved:
        """Return the SQL of a path.

        Raises:
            ApiError: INVALID_FIELD for unknown names.
        """
        names = self._without_alias(path)
        if len(names) - 1 > MAX_LEVELS:
            message = "SOQL relationship paths cannot go deeper than 5 levels"
            raise error_at(self._text, path.at, message)
        return self._walk(self.root, names, path, ())

    def reference_of(self, path: Path) -> Field:
        """Return the reference of this object that a TYPEOF names.

        Raises:
            ApiError: Unknown, or no reference to several objects.
        """
        names = self._without_alias(path)
        reference = self.root.item.by_relationship.get(names[0].lower())
        if reference is None:
            raise self._unknown_relationship(names[0], path)
        if len(names) > 1 or len(reference.reference_to) < 2:
            message = f"TYPEOF can only be used with polymorphic relationships: {path.text}"
            raise error_at(self._text, path.at, message)
        return reference

    def resolve_in(self, reference: Field, target: ObjectType, path: Path) -> Resolved:
        """Return the SQL of a path that begins at one object of a polymorphic reference."""
        name = reference.relationship or reference.name
        key = (name.lower(), "#" + target.name)
        column = f"{self.root.alias}.{quoted(reference.name)}"
        if len(path.names) > MAX_LEVELS:
            message = "SOQL relationship paths cannot go deeper than 5 levels"
            raise error_at(self._text, path.at, message)
        self._count_path(key, path)
        return self._walk(self._join(key, target, column), path.names, path, key)

    def _walk(
        self, table: Table, names: tuple[str, ...], path: Path, key: tuple[str, ...]
    ) -> Resolved:
        parents: list[tuple[str, str]] = []
        for position, name in enumerate(names[:-1]):
            reference = table.item.by_relationship.get(name.lower())
            if reference is None:
                raise self._unknown_relationship(name, path)
            column = f"{table.alias}.{quoted(reference.name)}"
            key = (*key, name.lower())
            self._count_path(key, path)
            if len(reference.reference_to) > 1:
                rest = names[position + 1 :]
                parents.append((reference.relationship or name, column))
                return self._polymorphic(table, reference, key, rest, tuple(parents), path)
            table = self._join(key, self._schema.get(reference.reference_to[0]), column)
            parents.append((reference.relationship or name, f'{table.alias}."Id"'))
        field = table.item.find(names[-1])
        if field is None:
            raise self._unknown_field(names[-1], table.item, path)
        sql = value_sql(table.item, field, alias=table.alias)
        rate = ""
        if field.type is FieldType.CURRENCY and table.item.has(CURRENCY):
            rate = rate_sql(f"{table.alias}.{quoted(CURRENCY)}")
            if path.converted:
                sql, rate = f"l2c_converted({sql}, {rate}, {RATE})", RATE
        return Resolved(sql=sql, field=field, parents=tuple(parents), table=table, rate_sql=rate)

    def _count_path(self, key: tuple[str, ...], path: Path) -> None:
        self._paths.add(key)
        if len(self._paths) > MAX_PATHS:
            message = f"a query can name at most {MAX_PATHS} relationships to parents"
            raise error_at(self._text, path.at, message)

    def _without_alias(self, path: Path) -> tuple[str, ...]:
        names = path.names
        if len(names) > 1:
            first = names[0].lower()
            if first == self._alias:
                return names[1:]
            known = first in self.root.item.by_relationship
            if not known and first == self.root.item.name.lower():
                return names[1:]
        return names

    def _join(self, key: tuple[str, ...], item: ObjectType, column: str) -> Table:
        known = self._tables.get(key)
        if known is not None:
            return known
        if len(self._joins) >= MAX_JOINS:
            raise ApiError(400, "QUERY_TOO_COMPLICATED", "too many relationships in one query")
        table = Table(alias=f"{self._prefix}{len(self._joins) + 1}", item=item)
        self._joins.append(
            f'LEFT JOIN {quoted(item.name)} AS {table.alias} ON {table.alias}."Id" = {column}'
        )
        self._tables[key] = table
        return table

    def _polymorphic(
        self,
        table: Table,
        reference: Field,
        key: tuple[str, ...],
        rest: tuple[str, ...],
        parents: tuple[tuple[str, str], ...],
        path: Path,
    ) -> Resolved:
        """Read a field through a reference to several objects: the one that is meant has it."""
        column = f"{table.alias}.{quoted(reference.name)}"
        if len(rest) > 1:
            raise self._unknown_relationship(rest[0], path)
        name = rest[0].lower()
        targets = [self._schema.get(target) for target in reference.reference_to]
        if name == "type":
            cases = " ".join(f"WHEN '{t.prefix}' THEN '{t.name}'" for t in targets)
            sql = f"(CASE substr({column}, 1, 3) {cases} END COLLATE {COLLATION})"
            return Resolved(sql=sql, field=TYPE_FIELD, parents=parents, table=table)
        having = [(t, t.by_name[name]) for t in targets if name in t.by_name]
        if not having:
            raise self._unknown_field(rest[0], targets[0], path)
        if name == "id":
            # In brackets: as a grouped expression it is another one than the reference itself.
            return Resolved(sql=f"({column})", field=having[0][1], parents=parents, table=table)
        parts = []
        for target, field in having:
            joined = self._join((*key, "#" + target.name), target, column)
            parts.append(value_sql(target, field, alias=joined.alias))
        field = having[0][1]
        sql = parts[0]
        if len(parts) > 1:
            # A function has no collation of its own.
            folds = field.folds
            sql = f"COALESCE({', '.join(parts)})" + (f" COLLATE {COLLATION}" if folds else "")
            sql = f"({sql})"
        return Resolved(sql=sql, field=field, parents=parents, table=table)

    def _unknown_relationship(self, name: str, path: Path) -> ApiError:
        message = f"Didn't understand relationship '{name}' in field path. {HINT_RELATIONSHIP}"
        return error_at(self._text, path.at, message, code="INVALID_FIELD")

    def _unknown_field(self, name: str, item: ObjectType, path: Path) -> ApiError:
        message = f"No such column '{name}' on entity '{item.name}'. {HINT_FIELD}"
        return error_at(self._text, path.at, message, code="INVALID_FIELD")
