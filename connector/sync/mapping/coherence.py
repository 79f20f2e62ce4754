"""What a mapping file may not say: contradictions within it, and between files."""

from collections.abc import Iterable, Sequence

from connector.errors import Misconfigured
from connector.store.mapping_files import MappingError
from connector.sync.mapping.columns import columns_from_crm
from connector.sync.mapping.definition import (
    CURRENCY_FIELD,
    FieldType,
    FieldWhen,
    ForeignEdit,
    Mapping,
    Mappings,
    Owner,
    PushField,
)
from connector.sync.mapping.named_transforms import TRANSFORMS
from connector.yaml_file import Location, YamlFile


class ListedIn(Exception):
    """A finding on its way to the place that knows the file."""

    def __init__(self, place: Location, message: str, remedy: str) -> None:
        super().__init__(message)
        self.place, self.message, self.remedy = place, message, remedy

    def of(self, file: YamlFile) -> MappingError:
        """Return the finding as an error that names file and line."""
        return MappingError(file, self.place, self.message, remedy=self.remedy)


def check_alone(mapping: Mapping) -> None:
    """Refuse what contradicts itself within one file.

    Raises:
        ListedIn: The first contradiction.
    """
    if mapping.push is None and mapping.fields:
        raise ListedIn(("fields",), "fields go out, but there is no push", "Add `push:`.")
    if mapping.push is not None:
        _check_push(mapping)
    doubled = set(mapping.fields) & set(mapping.parents)
    if doubled:
        name = min(doubled)
        raise ListedIn(("parents", name), f"{name} is a field and a parent", "Keep one.")
    for name, field in mapping.fields.items():
        if field.owner is Owner.CRM and mapping.born == "crm":
            raise ListedIn(
                ("fields", name),
                f"{name} belongs to the CRM, so nothing may push it",
                "Move it to pull.fields, or name its true owner.",
            )
        if mapping.pull and name in mapping.pull.fields and field.owner is not Owner.CRM:
            raise ListedIn(
                ("fields", name),
                f"{name} goes out and comes in",
                "One side owns a field: keep it in `fields` or in `pull.fields`.",
            )
        _check_form(name, field)
        _check_when(mapping, ("fields", name, "when"), field.when)
    _check_pull(mapping)
    _check_names(mapping)
    for place, rule in enumerate(mapping.intents):
        if (rule.when.becomes is None) == (not rule.when.set):
            raise ListedIn(
                ("intents", place, "when"),
                "an intent needs either `becomes` or `set: true`",
                "Write `becomes: <value>` or `set: true`.",
            )


def _check_foreign_edits(mapping: Mapping, name: str, field: PushField) -> None:
    if field.only_at_birth:
        if field.on_foreign_edit is not None:
            raise ListedIn(
                ("fields", name, "on_foreign_edit"),
                f"{name} belongs to the CRM: every edit there is its owner's",
                "Remove `on_foreign_edit`.",
            )
        return
    if mapping.policy_of(name) is not ForeignEdit.ACCEPT:
        return
    place = ("fields", name, "on_foreign_edit")
    if field.column not in columns_from_crm(mapping.table):
        allowed = ", ".join(sorted(columns_from_crm(mapping.table))) or "none"
        raise ListedIn(
            place,
            f"the hub cannot take {name} from the CRM: rules hang on it, or it is derived",
            f"Write repair or ask. Columns of {mapping.table} it could take: {allowed}.",
        )
    if field.values and len(set(field.values.values())) < len(field.values):
        raise ListedIn(
            place,
            f"two words of the hub for {name} are one word in the CRM, so none can be taken back",
            "Write repair or ask, or translate each word to its own.",
        )


def _check_push(mapping: Mapping) -> None:
    push = mapping.pushed
    if push.verb == "update" and push.sfid is None:
        raise ListedIn(
            ("push",),
            "an update needs the column that holds the Salesforce id",
            "Add `sfid: <column>`.",
        )
    if push.verb == "create" and mapping.born == "crm":
        raise ListedIn(
            ("push", "verb"),
            "a record born in the CRM is there already",
            "Write `verb: update`, or `born: hub`.",
        )
    if mapping.entity in push.after:
        raise ListedIn(
            ("push", "after"), f"{mapping.entity} waits for itself", "Remove this entry of `after`."
        )
    for place, mark in enumerate(push.marks):
        if (mark.key is None) == (mark.query is None):
            raise ListedIn(
                ("push", "marks", place),
                "a mark has either a key or a query",
                "Write `key: <column or SQL over changed>` or `query: <SELECT .. FROM changed>`.",
            )
    for name, field in mapping.fields.items():
        _check_foreign_edits(mapping, name, field)


_NUMBERS = frozenset({FieldType.MONEY, FieldType.NUMBER, FieldType.INTEGER})
_WORDS = frozenset(FieldType) - _NUMBERS - {FieldType.BOOLEAN, FieldType.DATE, FieldType.DATETIME}


def _check_form(name: str, field: PushField) -> None:
    """Refuse what a type cannot have."""
    for key, types in (("length", _WORDS), ("values", _WORDS), ("scale", _NUMBERS)):
        if getattr(field, key) is not None and field.type not in types:
            raise ListedIn(
                ("fields", name, key),
                f"{name} is {field.type.value}, which has no {key}",
                f"Remove `{key}`, or correct `type`.",
            )


def _check_when(mapping: Mapping, place: Location, when: FieldWhen | None) -> None:
    if when is None:
        return
    if not when.is_by_crm and when.column is None:
        raise ListedIn(
            place,
            "a condition names a person, record types or a column",
            "Write `person: true`, `record_type: [..]` or `column: .. , is: [..]`.",
        )
    if (when.column is None) == bool(when.is_one_of):
        raise ListedIn(
            place, "`column` and `is` belong together", "Write `column: <name>, is: [<value>, ..]`."
        )
    if when.is_by_crm and mapping.pull is None:
        raise ListedIn(
            place,
            "only a record that comes in tells whether it is a person or of which record type",
            "Add `pull:`, or make it a condition on a column.",
        )
    if when.person is not None and mapping.object != "Account":
        raise ListedIn(
            (*place, "person"),
            f"{mapping.object} knows no persons, only Account does",
            "Remove `person`.",
        )


def _check_pull(mapping: Mapping) -> None:
    for name in mapping.pull.unstamped if mapping.pull else ():
        if mapping.pull and name not in mapping.pull.fields:
            raise ListedIn(
                ("pull", "unstamped", name),
                f"{name} is not pulled",
                "Add it to pull.fields, or remove it here.",
            )
    written: dict[str, str] = {}
    for name, field in mapping.pull.fields.items() if mapping.pull else ():
        place = ("pull", "fields", name)
        if field.to in written and field.when is None:
            raise ListedIn(
                place,
                f"{written[field.to]} and {name} both write the column {field.to}",
                "Keep one of them, or say `when` each has it.",
            )
        written[field.to] = name
        if field.transform is not None and field.transform not in TRANSFORMS:
            raise ListedIn(
                (*place, "transform"),
                f"no transform is called {field.transform!r}",
                f"There are: {', '.join(sorted(TRANSFORMS))}.",
            )
        if field.when is not None and field.when.column is not None:
            raise ListedIn(
                (*place, "when"),
                "a field that comes in cannot depend on a column of the hub",
                "Use `person` or `record_type`.",
            )
        _check_when(mapping, (*place, "when"), field.when)


def _check_names(mapping: Mapping) -> None:
    """Refuse fields that the connector fills itself, and names that lead nowhere."""
    if mapping.push is None:
        return
    push, stamps = mapping.push, mapping.push.stamps
    own = {push.key: "the key"} if push.is_keyed else {}
    if stamps is not None:
        own |= {name: "a stamp" for name in (stamps.status, stamps.error, stamps.synced_at) if name}
    if mapping.currency is not None:
        own[CURRENCY_FIELD] = "the currency"
    for name in mapping.pushed_names:
        if name in own:
            place = "fields" if name in mapping.fields else "parents"
            raise ListedIn(
                (place, name), f"{name} is {own[name]}, which is filled by itself", "Remove it."
            )
    for key in ("amount", "currency") if mapping.totals is not None else ():
        name = getattr(mapping.totals, key)
        if name not in mapping.fields:
            raise ListedIn(
                ("totals", key),
                f"{name} is none of the fields that go out",
                "Name one of `fields`.",
            )


def check_together(pairs: Sequence[tuple[YamlFile, Mapping]]) -> None:
    """Refuse what contradicts another file.

    Raises:
        MappingError: With file and line.
        Misconfigured: It is about several files.
    """
    entities = {mapping.entity: mapping for _, mapping in pairs}
    if len(entities) < len(pairs):
        raise Misconfigured(
            "Two mapping files describe the same entity.", remedy="Keep one file per entity."
        )
    for file, mapping in pairs:
        try:
            _check_references(mapping, entities)
            _check_conditions(mapping, entities.values())
        except ListedIn as finding:
            raise finding.of(file) from None
    _ = Mappings(tuple(mapping for _, mapping in pairs)).levels


def _check_conditions(mapping: Mapping, others: Iterable[Mapping]) -> None:
    """Refuse two conditions for one object: its records are read once, for all its mappings."""
    for other in others:
        if mapping.pull is None or other.pull is None or other.object != mapping.object:
            continue
        if mapping.pull.where != other.pull.where:
            raise ListedIn(
                ("pull", "where"),
                f"{mapping.object} is read for {other.entity} too, on another condition",
                "Write the same `where` in both files, or in neither.",
            )


def _check_references(mapping: Mapping, entities: dict[str, Mapping]) -> None:
    for name, parent in mapping.parents.items():
        target = entities.get(parent.entity)
        if target is None or target.push is None:
            raise ListedIn(
                ("parents", name),
                f"{name} names {parent.entity!r}, which no mapping pushes",
                "Correct the entity, or write it as a field of type reference.",
            )
    for other in mapping.push.after if mapping.push else ():
        if other not in entities:
            raise ListedIn(
                ("push", "after"), f"no mapping describes {other!r}", "Correct the name."
            )
