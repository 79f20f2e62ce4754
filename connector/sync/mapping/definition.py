"""The mapping files: one entity each, both directions, strictly read.

A mistake names the file, the line and the remedy before the first record moves (design 4).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from connector.errors import Misconfigured

ApiName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z]\w*)?$")]
Relationship = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*){0,4}$")
]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]

HUB_KEY_FIELD = "Billing_Key__c"
IS_PERSON = "IsPersonAccount"
RECORD_TYPE_ID = "RecordTypeId"
RECORD_TYPE = "RecordType.DeveloperName"
CURRENCY_FIELD = "CurrencyIsoCode"


class Owner(StrEnum):
    """Who decides the value of a field (design D3)."""

    CRM = "crm"
    BILLING = "billing"
    CONNECTOR = "connector"
    NETWORK = "network"
    VENDOR = "vendor"


class FieldType(StrEnum):
    """What a value is on the wire."""

    TEXT = "text"
    LONG_TEXT = "long_text"
    PICKLIST = "picklist"
    EMAIL = "email"
    PHONE = "phone"
    URL = "url"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    MONEY = "money"
    DATE = "date"
    DATETIME = "datetime"
    REFERENCE = "reference"


DEFAULT_SCALE = {FieldType.MONEY: 2, FieldType.NUMBER: 6, FieldType.INTEGER: 0}


class ForeignEdit(StrEnum):
    """What follows when somebody in the CRM changes a field that is the hub's (design D3)."""

    REPAIR = "repair"
    ACCEPT = "accept"
    ASK = "ask"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class FieldWhen(_Strict):
    """Which records have the field; everything that is said has to hold.

    What the CRM has not told yet of a record does not hold.
    """

    person: bool | None = None  # a person account, or a business account
    record_type: tuple[str, ...] = ()  # developer names
    column: Identifier | None = None
    is_one_of: tuple[str, ...] = Field(default=(), alias="is")

    @property
    def is_by_crm(self) -> bool:
        """Return whether the CRM has to tell what kind of record it is."""
        return self.person is not None or bool(self.record_type)


class PushField(_Strict):
    """One field the hub writes in the CRM.

    `length` cuts longer text; `scale` rounds half away from zero; `values` translates words.
    """

    column: Identifier = Field(alias="from")
    owner: Owner
    type: FieldType = FieldType.TEXT
    length: int | None = Field(default=None, ge=1, le=131_072)
    scale: int | None = Field(default=None, ge=0, le=9)
    values: dict[str, str] | None = None
    on_foreign_edit: ForeignEdit | None = None
    when: FieldWhen | None = None

    @property
    def only_at_birth(self) -> bool:
        """Return whether the hub gives the first value and the CRM owns every later one."""
        return self.owner is Owner.CRM

    @property
    def digits(self) -> int | None:
        """Return how many decimal places go out, None when it is not a number."""
        return self.scale if self.scale is not None else DEFAULT_SCALE.get(self.type)


class Parent(_Strict):
    """A reference to another record that the hub knows by its own id."""

    entity: Identifier
    column: Identifier = Field(alias="from")
    required: bool = False


class Mark(_Strict):
    """A base table whose rows, when written, put keys of the entity into the push queue."""

    table: Identifier
    key: str | None = None
    query: str | None = None
    columns: tuple[Identifier, ...] = ()
    note: str = ""


class Stamps(_Strict):
    """Fields on the CRM record that tell its reader how sync stands."""

    status: ApiName
    error: ApiName
    synced_at: ApiName | None = None


class Push(_Strict):
    """How the entity goes out."""

    verb: Literal["upsert", "update", "create"]
    key: ApiName = HUB_KEY_FIELD
    key_from: Identifier | None = None  # column with the key's text; default l2c:<entity>:<id>
    sfid: Identifier | None = None  # column with the Salesforce id of records born in the CRM
    learn_sfid: bool = False  # a new record's Salesforce id is kept in `table`.`sfid` too
    stamps: Stamps | None = None
    on_foreign_edit: ForeignEdit = ForeignEdit.REPAIR
    watch: bool = False
    after: tuple[Identifier, ...] = ()
    on_removal: Literal["delete", "keep"] = "delete"  # of a record born in the hub
    marks: tuple[Mark, ...] = Field(min_length=1)

    @property
    def is_keyed(self) -> bool:
        """Return whether records are told apart by the key, not by their Salesforce id."""
        return self.verb != "update"


class PullField(_Strict):
    """One field the CRM writes in the hub."""

    to: Identifier
    type: FieldType = FieldType.TEXT
    transform: Identifier | None = None
    when: FieldWhen | None = None


class Pull(_Strict):
    """How the entity comes in.

    `unstamped` names fields that change without a new stamp, each with the relationship its value
    comes through (`Account__r`, or further up), or null where none leads there, as in a roll-up.
    """

    fields: dict[ApiName, PullField]
    unstamped: dict[ApiName, Relationship | None] = {}
    where: str | None = None
    message: str | None = None  # name of the outbound message that announces it


class When(_Strict):
    """What a record has to show to ask for an act."""

    field: ApiName
    becomes: bool | str | None = None
    set: bool = False


class IntentRule(_Strict):
    """A change in the CRM that names a flow (design D15)."""

    flow: Identifier
    when: When
    facts: tuple[ApiName, ...] = Field(default=(), alias="with")
    clear: tuple[ApiName, ...] = ()
    message: str | None = None


class FileOf(_Strict):
    """A file beside the record.

    The view has the columns id, title, file_name, digest, size and content; `also_on` is one more,
    with the Salesforce id of a second record to link the file to.
    """

    view: Identifier
    also_on: Identifier | None = None


class Totals(_Strict):
    """Which amount a reconciliation adds up, and where its currency stands."""

    amount: ApiName
    currency: ApiName


class Mapping(_Strict):
    """One entity: its object, and what goes out and comes in."""

    entity: Identifier
    object: ApiName
    born: Literal["hub", "crm"]
    table: Identifier
    view: Identifier | None = None
    push: Push | None = None
    parents: dict[ApiName, Parent] = {}
    fields: dict[ApiName, PushField] = {}
    pull: Pull | None = None
    intents: tuple[IntentRule, ...] = ()
    totals: Totals | None = None
    beside: FileOf | None = None
    currency: Identifier | None = None  # column with the currency of the record's amounts
    file: Path

    @property
    def push_view(self) -> str:
        """Return the view that shows the current state to push."""
        return self.view or f"push_{self.entity}"

    @property
    def pushed(self) -> Push:
        """Return how it goes out; only for mappings that do."""
        assert self.push is not None
        return self.push

    @property
    def conditions(self) -> tuple[FieldWhen, ...]:
        """Return what is said of the kinds of records that have a field."""
        pulled = self.pull.fields.values() if self.pull else ()
        return tuple(one.when for one in (*self.fields.values(), *pulled) if one.when is not None)

    @property
    def kind_fields(self) -> tuple[str, ...]:
        """Return the fields in which the CRM tells what kind of record it is."""
        names = []
        if any(when.person is not None for when in self.conditions):
            names.append(IS_PERSON)
        if any(when.record_type for when in self.conditions):
            names.append(RECORD_TYPE_ID)
        return tuple(names)

    @property
    def pushed_names(self) -> tuple[str, ...]:
        """Return the API names that go out, references included."""
        return (*self.parents, *self.fields)

    @property
    def compared_names(self) -> tuple[str, ...]:
        """Return the API names whose value only the hub decides, references included."""
        if self.push is None:
            return ()
        fields = (name for name, field in self.fields.items() if not field.only_at_birth)
        return (*self.parents, *fields)

    def policy_of(self, name: str) -> ForeignEdit:
        """Return what follows when somebody in the CRM changes a compared field."""
        default = self.pushed.on_foreign_edit
        if name not in self.fields:  # the hub can take no other parent
            return ForeignEdit.REPAIR if default is ForeignEdit.ACCEPT else default
        return self.fields[name].on_foreign_edit or default


@dataclass(frozen=True)
class Mappings:
    """All mapping files of an installation."""

    all: tuple[Mapping, ...]

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self.all)

    @cached_property
    def by_entity(self) -> dict[str, Mapping]:
        """The mappings by the name of the entity."""
        return {mapping.entity: mapping for mapping in self.all}

    def of_object(self, name: str) -> tuple[Mapping, ...]:
        """Return the mappings of a Salesforce object; most have one."""
        return self._by_object.get(name, ())

    def conditions_of(self, name: str) -> tuple[str, ...]:
        """Return what has to hold, in SOQL, for a record of the object to be of interest."""
        pulls = (mapping.pull for mapping in self.of_object(name))
        return tuple(dict.fromkeys(pull.where for pull in pulls if pull and pull.where))

    @cached_property
    def _by_object(self) -> dict[str, tuple[Mapping, ...]]:
        found: dict[str, tuple[Mapping, ...]] = {}
        for mapping in self.all:
            found[mapping.object] = (*found.get(mapping.object, ()), mapping)
        return found

    @cached_property
    def pushed(self) -> tuple[Mapping, ...]:
        """The mappings that go out, parents before children."""
        return tuple(mapping for level in self.levels for mapping in level)

    @cached_property
    def levels(self) -> tuple[tuple[Mapping, ...], ...]:
        """The mappings that go out, in groups whose members need nothing of each other."""
        waiting = {m.entity: _needs(m) for m in self.all if m.push is not None}
        levels: list[tuple[Mapping, ...]] = []
        while waiting:
            free = sorted(entity for entity, needs in waiting.items() if not needs & set(waiting))
            if not free:
                raise Misconfigured(
                    f"The mappings {', '.join(sorted(waiting))} wait for each other.",
                    remedy="Remove one of their parents or one entry of `after`.",
                )
            levels.append(tuple(self.by_entity[entity] for entity in free))
            for entity in free:
                del waiting[entity]
        return tuple(levels)

    @cached_property
    def pulled(self) -> tuple[Mapping, ...]:
        """The mappings with attributes or intents that come in."""
        return tuple(m for m in self.all if m.pull is not None or m.intents)

    @cached_property
    def watched(self) -> tuple[Mapping, ...]:
        """The mappings whose every changed record is read, not only one that asks."""
        return tuple(
            m for m in self.all if m.pull is not None or (m.push is not None and m.push.watch)
        )


def _needs(mapping: Mapping) -> set[str]:
    parents = {parent.entity for parent in mapping.parents.values()}
    return (parents | set(mapping.pushed.after)) - {mapping.entity}
