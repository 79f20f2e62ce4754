"""Holds the mapping files against what an org says of itself, before the first record moves."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connector.adapters.salesforce.errors import OrgRefused
from connector.sync.mapping.definition import FieldType, Mapping, Mappings, PushField
from connector.yaml_file import YamlFile, read_yaml

Describe = Callable[[str], dict[str, Any]]

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
_DEPLOY = "Deploy the metadata in salesforce/, or correct the mapping file."
_ACCESS = "Assign the permission set L2C_Integration to the connector's user."


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a mapping file that this org cannot take."""

    file: Path
    line: int
    object: str
    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.object}.{self.field}: {self.problem} {self.remedy}"


def check_mappings(mappings: Mappings, describe: Describe) -> tuple[Finding, ...]:
    """Return every finding; describes each object once.

    Raises:
        OrgUnavailable: The org does not answer.
    """
    described: dict[str, dict[str, Any] | None] = {}
    findings: list[Finding] = []
    for mapping in mappings:
        if mapping.object not in described:
            described[mapping.object] = _described(mapping.object, describe)
        file = read_yaml(mapping.file)
        about = described[mapping.object]
        if about is None:
            findings.append(
                Finding(
                    file=mapping.file,
                    line=file.line_of(("object",)),
                    object=mapping.object,
                    field="*",
                    problem="The org has no such object, or the user may not see it.",
                    remedy=f"{_DEPLOY} {_ACCESS}",
                )
            )
            continue
        fields = {field["name"]: field for field in about["fields"]}
        findings += _check(mapping, file, fields)
    return tuple(findings)


def _described(name: str, describe: Describe) -> dict[str, Any] | None:
    try:
        return describe(name)
    except OrgRefused:
        return None


def _check(
    mapping: Mapping, file: YamlFile, fields: dict[str, dict[str, Any]]
) -> Iterator[Finding]:
    for path, name, problems in _examined(mapping, fields):
        for problem, remedy in problems:
            yield Finding(
                file=mapping.file,
                line=file.line_of(path),
                object=mapping.object,
                field=name,
                problem=problem,
                remedy=remedy,
            )


_Problems = list[tuple[str, str]]


def _examined(
    mapping: Mapping, fields: dict[str, dict[str, Any]]
) -> Iterator[tuple[tuple[str | int, ...], str, _Problems]]:
    for name, field in mapping.fields.items():
        yield ("fields", name), name, _pushed(mapping, field, fields.get(name))
    for name in mapping.parents:
        reference = PushField.model_validate(
            {"from": "id", "owner": "connector", "type": "reference"}
        )
        yield ("parents", name), name, _pushed(mapping, reference, fields.get(name))
    for place, name in enumerate(mapping.pull.fields if mapping.pull else ()):
        yield ("pull", "fields", name, place), name, _exists(fields.get(name))
    for place, rule in enumerate(mapping.intents):
        for name in {rule.when.field, *rule.facts}:
            yield ("intents", place), name, _exists(fields.get(name))
        for name in rule.clear:
            yield ("intents", place, "clear"), name, _written(mapping, fields.get(name))
    if mapping.push is not None:
        if mapping.push.verb == "upsert":
            yield ("push", "key"), mapping.push.key, _key(fields.get(mapping.push.key))
        stamps = mapping.push.stamps
        for name in filter(None, (stamps.status, stamps.error, stamps.synced_at) if stamps else ()):
            yield ("push", "stamps"), name, _written(mapping, fields.get(name))


def _exists(field: dict[str, Any] | None) -> _Problems:
    return [] if field else [("The org shows no such field.", f"{_DEPLOY} {_ACCESS}")]


def _written(mapping: Mapping, field: dict[str, Any] | None) -> _Problems:
    if field is None:
        return _exists(field)
    # A detail's master is given once, at birth, unless the org allows reparenting.
    is_master = field["relationshipOrder"] is not None and field["createable"]
    if field["calculated"] or not (field["updateable"] or is_master):
        return [("The connector's user may not write this field.", _ACCESS)]
    if mapping.born == "hub" and not field["createable"]:
        return [("The connector's user may not fill this field in a new record.", _ACCESS)]
    return []


def _key(field: dict[str, Any] | None) -> _Problems:
    if field is None:
        return _exists(field)
    if not (field["externalId"] and field["unique"]):
        return [("The key is no unique external id.", "Make it both, or name another `push.key`.")]
    return []


def _pushed(mapping: Mapping, field: PushField, shown: dict[str, Any] | None) -> _Problems:
    problems = _written(mapping, shown)
    if shown is None:
        return problems
    if shown["type"] not in _FITTING[field.type]:
        problems.append(
            (
                f"It is {shown['type']} there and {field.type.value} here.",
                "Correct `type` in the mapping file.",
            )
        )
    elif field.length is not None and 0 < shown["length"] < field.length:
        problems.append(
            (
                f"It holds {shown['length']} characters, the mapping sends up to {field.length}.",
                f"Write `length: {shown['length']}`.",
            )
        )
    elif field.digits is not None and shown["type"] != "int" and shown["scale"] < field.digits:
        problems.append(
            (
                f"It holds {shown['scale']} decimal places, the mapping sends {field.digits}.",
                f"Write `scale: {shown['scale']}`.",
            )
        )
    return problems
