"""Objects, fields and their attributes, as the rest of the local org sees them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property


class FieldType(StrEnum):
    """The field types of describe that the local org stores."""

    ID = "id"
    STRING = "string"
    TEXTAREA = "textarea"
    PICKLIST = "picklist"
    MULTIPICKLIST = "multipicklist"
    REFERENCE = "reference"
    BOOLEAN = "boolean"
    CURRENCY = "currency"
    DOUBLE = "double"
    PERCENT = "percent"
    INT = "int"
    DATE = "date"
    DATETIME = "datetime"
    TIME = "time"
    PHONE = "phone"
    EMAIL = "email"
    URL = "url"
    BASE64 = "base64"
    ADDRESS = "address"


DECIMAL_TYPES = frozenset({FieldType.CURRENCY, FieldType.DOUBLE, FieldType.PERCENT})
TEXT_TYPES = frozenset(
    {
        FieldType.STRING,
        FieldType.TEXTAREA,
        FieldType.PICKLIST,
        FieldType.MULTIPICKLIST,
        FieldType.PHONE,
        FieldType.EMAIL,
        FieldType.URL,
        FieldType.BASE64,
    }
)


class OnDelete(StrEnum):
    """What happens to a record when the record it refers to is deleted."""

    SET_NULL = "SetNull"
    RESTRICT = "Restrict"
    CASCADE = "Cascade"


@dataclass(frozen=True, slots=True)
class PicklistValue:
    """One choice of a picklist."""

    value: str
    label: str
    default: bool = False


@dataclass(frozen=True, slots=True)
class SummaryFilter:
    """Which details a roll-up counts: those whose field compares so with any of the values."""

    field: str
    operator: str  # of SQL
    values: tuple[str, ...]  # as the metadata writes them; an empty one is null


@dataclass(frozen=True, slots=True)
class Summary:
    """A roll-up summary: an aggregate over the details of a master."""

    operation: str  # count, sum, min, max
    child: str
    child_reference: str
    child_field: str | None
    filters: tuple[SummaryFilter, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One field of one object."""

    name: str
    label: str
    type: FieldType
    length: int = 0
    precision: int = 0
    scale: int = 0
    nillable: bool = True
    createable: bool = True
    updateable: bool = True
    defaulted: bool = False
    unique: bool = False
    case_sensitive: bool = False
    external_id: bool = False
    id_lookup: bool = False
    custom: bool = False
    name_field: bool = False
    html: bool = False
    default: object = None
    default_formula: str | None = None  # what a new record's value is computed from
    picklist: tuple[PicklistValue, ...] = ()
    restricted: bool = False
    reference_to: tuple[str, ...] = ()
    relationship: str | None = None
    children: str | None = None
    on_delete: OnDelete = OnDelete.SET_NULL
    master_detail: bool = False
    reparentable: bool = False
    compound: str | None = None
    auto_number: str | None = None
    formula: str | None = None
    blank_is_zero: bool = False  # in its formula, blank numbers count as zero
    summary: Summary | None = None
    help: str | None = None

    @property
    def calculated(self) -> bool:
        """Whether the org computes the value itself (formula or roll-up)."""
        return self.formula is not None or self.summary is not None

    @property
    def stored(self) -> bool:
        """Whether the field has a column of its own."""
        return self.type is not FieldType.ADDRESS

    @property
    def is_text(self) -> bool:
        """Whether values are text."""
        return self.type in TEXT_TYPES

    @property
    def folds(self) -> bool:
        """Whether values are text compared without regard to case."""
        return self.type in TEXT_TYPES and not self.case_sensitive

    @property
    def is_decimal(self) -> bool:
        """Whether values are exact decimals, stored as scaled integers."""
        return self.type in DECIMAL_TYPES

    @property
    def required(self) -> bool:
        """Whether a create call must give a value (fact sheet B.3)."""
        return self.createable and not self.nillable and not self.defaulted


@dataclass(frozen=True, eq=False)
class ObjectType:
    """One object: its fields in describe order and how it behaves as a whole."""

    name: str
    label: str
    plural: str
    prefix: str
    fields: tuple[Field, ...]
    custom: bool = False
    createable: bool = True
    updateable: bool = True
    deletable: bool = True
    event: bool = False  # a platform event: published, never stored

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Fields by lower-case name."""
        return {f.name.lower(): f for f in self.fields}

    @cached_property
    def by_relationship(self) -> dict[str, Field]:
        """Reference fields by lower-case name of the parent relationship."""
        return {f.relationship.lower(): f for f in self.fields if f.relationship}

    @cached_property
    def stored(self) -> tuple[Field, ...]:
        """Fields that have a column, in column order."""
        return tuple(f for f in self.fields if f.stored)

    @cached_property
    def column_index(self) -> dict[str, int]:
        """Position of each stored field in a full row."""
        return {f.name: i for i, f in enumerate(self.stored)}

    @cached_property
    def references(self) -> tuple[Field, ...]:
        """Fields that hold ids of other records."""
        return tuple(f for f in self.fields if f.type is FieldType.REFERENCE)

    @cached_property
    def unique_fields(self) -> tuple[Field, ...]:
        """Fields in which no two records may hold the same value."""
        return tuple(f for f in self.fields if f.unique)

    @cached_property
    def name_field(self) -> Field | None:
        """The field that names a record for people."""
        return next((f for f in self.fields if f.name_field), None)

    def find(self, name: str) -> Field | None:
        """Return a field by its name in any casing."""
        return self.by_name.get(name.lower())

    def has(self, name: str) -> bool:
        """Whether there is a field of this exact name."""
        return name in self.column_index


@dataclass(frozen=True, slots=True)
class ChildLink:
    """A relationship seen from the parent."""

    child: ObjectType
    field: Field


@dataclass(frozen=True, slots=True)
class RecordType:
    """One record type of one object."""

    object_name: str
    name: str
    label: str
    description: str | None
    active: bool
    choices: Mapping[str, tuple[str, ...]]  # by picklist field
    defaults: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Schema:
    """All objects of the org."""

    objects: tuple[ObjectType, ...]
    record_types: Mapping[str, tuple[RecordType, ...]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ObjectType]:
        return iter(self.objects)

    @cached_property
    def by_name(self) -> dict[str, ObjectType]:
        """Objects by lower-case name."""
        return {o.name.lower(): o for o in self.objects}

    @cached_property
    def by_prefix(self) -> dict[str, ObjectType]:
        """Objects by the first three characters of their ids."""
        return {o.prefix: o for o in self.objects}

    @cached_property
    def links(self) -> dict[str, tuple[ChildLink, ...]]:
        """References to each object, by the referred object's name."""
        found: dict[str, list[ChildLink]] = {o.name: [] for o in self.objects}
        for child in self.objects:
            for ref in child.references:
                for target in ref.reference_to:
                    if target in found:
                        found[target].append(ChildLink(child=child, field=ref))
        return {name: tuple(items) for name, items in found.items()}

    @cached_property
    def summaries(self) -> dict[str, tuple[tuple[ObjectType, Field], ...]]:
        """Roll-up fields to recompute when a record of the named child object changes."""
        found: dict[str, list[tuple[ObjectType, Field]]] = {}
        for master in self.objects:
            for item in master.fields:
                if item.summary is not None:
                    found.setdefault(item.summary.child, []).append((master, item))
        return {name: tuple(items) for name, items in found.items()}

    def find(self, name: str) -> ObjectType | None:
        """Return an object by its name in any casing."""
        return self.by_name.get(name.lower())

    def get(self, name: str) -> ObjectType:
        """Return an object that is known to exist."""
        return self.by_name[name.lower()]

    def of_id(self, record_id: str) -> ObjectType | None:
        """Return the object an id belongs to."""
        return self.by_prefix.get(record_id[:3])

    def child_link(self, parent: str, relationship: str) -> ChildLink | None:
        """Return a child relationship by its name in any casing."""
        wanted = relationship.lower()
        for link in self.links.get(parent, ()):
            if link.field.children and link.field.children.lower() == wanted:
                return link
        return None
