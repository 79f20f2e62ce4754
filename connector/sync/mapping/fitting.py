"""Whether one field of a mapping fits what the org says of it (fact sheet B.3)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from connector.sync.mapping.definition import FieldType, Mapping, PullField, PushField, When

_TEXTS = frozenset(
    {"string", "textarea", "picklist", "multipicklist", "combobox", "email", "phone", "url", "id",
     "reference", "encryptedstring"}
)  # fmt: skip
_FITTING: dict[FieldType, frozenset[str]] = {
    FieldType.TEXT: _TEXTS,
    FieldType.LONG_TEXT: frozenset({"textarea"}),
    FieldType.PICKLIST: frozenset({"picklist", "combobox", "string"}),
    FieldType.EMAIL: frozenset({"email", "string"}),
    FieldType.PHONE: frozenset({"phone", "string"}),
    FieldType.URL: frozenset({"url", "string"}),
    FieldType.BOOLEAN: frozenset({"boolean"}),
    FieldType.INTEGER: frozenset({"int", "double", "long", "currency", "percent"}),
    FieldType.NUMBER: frozenset({"double", "currency", "percent"}),
    FieldType.MONEY: frozenset({"currency", "double"}),
    FieldType.DATE: frozenset({"date"}),
    FieldType.DATETIME: frozenset({"datetime"}),
    FieldType.REFERENCE: frozenset({"reference", "id", "string"}),
}
_NUMBERS = frozenset({"int", "long", "double", "currency", "percent"})
# Reading is more lenient: any number is a number, any text a text.
_READ_AS = {
    **dict.fromkeys(FieldType, _TEXTS),
    **dict.fromkeys((FieldType.INTEGER, FieldType.NUMBER, FieldType.MONEY), _NUMBERS),
    FieldType.BOOLEAN: frozenset({"boolean"}),
    FieldType.DATE: frozenset({"date"}),
    FieldType.DATETIME: frozenset({"datetime"}),
}

DEPLOY = "Deploy the metadata in salesforce/, or correct the mapping file."
ACCESS = "Assign the permission set L2C_Integration to the connector's user."


@dataclass(frozen=True, slots=True)
class Problem:
    """What does not fit; without `halts` only some values or records suffer from it."""

    said: str
    remedy: str
    halts: bool = True


def exists(field: dict[str, Any] | None) -> list[Problem]:
    """Return that the org does not show the field, if so."""
    return [] if field else [Problem("The org shows no such field.", f"{DEPLOY} {ACCESS}")]


def is_of_another(name: str) -> list[Problem]:
    """Return that the name leads to a field of another record, if so."""
    step, dot, _ = name.partition(".")
    if not dot:
        return []
    return [
        Problem(
            f"It is a path through {step} to another record; fields are those of the record alone.",
            "Name the reference itself, or a formula field that shows the value "
            "(and the path to it under `unstamped`).",
        )
    ]


def writable_object(mapping: Mapping, about: dict[str, Any]) -> list[Problem]:
    """Return what the user may not do with records of the object."""
    problems = []
    if about.get("updateable") is False:
        problems.append(Problem("The connector's user may not change records of it.", ACCESS))
    if mapping.born == "hub" and about.get("createable") is False:
        problems.append(Problem("The connector's user may not create records of it.", ACCESS))
    return problems


def written(mapping: Mapping, field: dict[str, Any] | None) -> list[Problem]:
    """Return why the field cannot be written."""
    if field is None:
        return exists(field)
    if field["calculated"]:
        return [
            Problem("The org computes this field, nobody can write it.", "Remove it from the file.")
        ]
    # A detail's master is given once, at birth, unless the org allows reparenting.
    is_master = field["relationshipOrder"] is not None and field["createable"]
    if not (field["updateable"] or is_master):
        return [Problem("The connector's user may not write this field.", ACCESS)]
    if mapping.born == "hub" and not field["createable"]:
        return [Problem("The connector's user may not fill this field in a new record.", ACCESS)]
    return []


def key(field: dict[str, Any] | None) -> list[Problem]:
    """Return why records cannot be told apart by the field."""
    if field is None:
        return exists(field)
    if not (field["externalId"] and field["unique"]):
        return [
            Problem(
                "The key is no unique external id.", "Make it both, or name another `push.key`."
            )
        ]
    return []


def pushed(mapping: Mapping, field: PushField, shown: dict[str, Any] | None) -> list[Problem]:
    """Return what is wrong with a field that goes out."""
    problems = written(mapping, shown)
    if shown is None:
        return problems
    if shown["type"] not in _FITTING[field.type]:
        problems.append(
            Problem(
                f"It is {shown['type']} there and {field.type.value} here.",
                "Correct `type` in the mapping file.",
            )
        )
    elif field.length is not None and 0 < shown["length"] < field.length:
        problems.append(
            Problem(
                f"It holds {shown['length']} characters, the mapping sends up to {field.length}.",
                f"Write `length: {shown['length']}`.",
                halts=False,
            )
        )
    elif field.digits is not None and shown["type"] != "int" and shown["scale"] < field.digits:
        problems.append(
            Problem(
                f"It holds {shown['scale']} decimal places, the mapping sends {field.digits}.",
                f"Write `scale: {shown['scale']}`.",
                halts=False,
            )
        )
    return [*problems, *_words(field, shown)]


def _words(field: PushField, shown: dict[str, Any]) -> Iterator[Problem]:
    known = _picklist(shown)
    for word in field.values.values() if field.values and known is not None else ():
        if word not in (known or ()):
            yield Problem(
                f"Its picklist has no active value {word!r}.",
                "Add the value in the CRM, or correct `values`.",
                halts=False,
            )


def _picklist(shown: dict[str, Any]) -> frozenset[str] | None:
    if shown["type"] != "picklist" or not shown["restrictedPicklist"]:
        return None
    return frozenset(one["value"] for one in shown["picklistValues"] or () if one["active"])


def points_to(target: str, shown: dict[str, Any]) -> list[Problem]:
    """Return that a reference cannot hold records of the object, if so."""
    if not shown["referenceTo"] or target in shown["referenceTo"]:
        return []
    return [
        Problem(
            f"It points to {', '.join(shown['referenceTo'])}, not to {target}.",
            "Name the entity it points to.",
        )
    ]


def left_empty(
    mapping: Mapping, fields: dict[str, dict[str, Any]]
) -> Iterator[tuple[str, Problem]]:
    """Yield the fields that every new record needs and the mapping does not fill."""
    if mapping.born != "hub":
        return
    filled = {*mapping.pushed_names, mapping.pushed.key}
    for name, shown in fields.items():
        needed = shown["createable"] and not shown["nillable"] and not shown["defaultedOnCreate"]
        if needed and shown["type"] != "boolean" and name not in filled:
            yield (
                name,
                Problem(
                    "Every new record needs it, and the mapping does not fill it.",
                    "Map it, or give it a default in the CRM.",
                    halts=False,
                ),
            )


def pulled(field: PullField, shown: dict[str, Any] | None) -> list[Problem]:
    """Return what is wrong with a field that comes in."""
    if shown is None:
        return exists(shown)
    if shown["type"] not in _READ_AS[field.type]:
        return [
            Problem(
                f"It is {shown['type']} there and {field.type.value} here.",
                "Correct `type` in the mapping file.",
            )
        ]
    return []


def may_become(when: When, shown: dict[str, Any] | None) -> list[Problem]:
    """Return that the field can never show what an ask waits for."""
    known = None if shown is None else _picklist(shown)
    if known is None or not isinstance(when.becomes, str) or when.becomes in known:
        return []
    return [
        Problem(
            f"Its picklist has no active value {when.becomes!r}: nobody can ask.",
            "Add the value in the CRM, or correct `becomes`.",
            halts=False,
        )
    ]
