"""Holds the mapping files against what an org says of itself, before the first record moves."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from connector.adapters.salesforce.errors import OrgRefused
from connector.sync.mapping import fitting, ways_in
from connector.sync.mapping.definition import (
    CURRENCY_FIELD,
    IS_PERSON,
    FieldType,
    Mapping,
    Mappings,
    PullField,
    PushField,
)
from connector.sync.mapping.findings import Finding, Way
from connector.sync.mapping.fitting import ACCESS, DEPLOY, Problem
from connector.yaml_file import Location, YamlFile, read_yaml

__all__ = ["Describe", "Finding", "check_mappings"]

Describe = Callable[[str], dict[str, Any]]
_REFERENCE = PushField.model_validate({"from": "id", "owner": "connector", "type": "reference"})


def check_mappings(
    mappings: Mappings,
    describe: Describe,
    *,
    only: Collection[str] | None = None,
    query: ways_in.Query | None = None,
) -> tuple[Finding, ...]:
    """Return every finding, or those of some entities; describes each object once.

    Conditions in SOQL are tried where there is a `query`; `describe` may know some objects only.

    Raises:
        OrgUnavailable: The org does not answer.
    """
    described: dict[str, dict[str, Any] | None] = {}

    def known(name: str) -> dict[str, Any] | None:
        if name not in described:
            described[name] = _described(name, describe)
        return described[name]

    findings: list[Finding] = []
    objects = {mapping.entity: mapping.object for mapping in mappings}
    for mapping in mappings:
        if only is not None and mapping.entity not in only:
            continue
        file = read_yaml(mapping.file)
        about = known(mapping.object)
        if about is None:
            findings += _unseen(mapping, file)
            continue
        findings += _check(mapping, file, about, objects)
        for place, problem in _reading(mapping, known, query):
            findings.append(_finding(mapping, file, place, problem))
    return tuple(findings)


def _described(name: str, describe: Describe) -> dict[str, Any] | None:
    try:
        return describe(name)
    except (OrgRefused, KeyError):
        return None


def _unseen(mapping: Mapping, file: YamlFile) -> list[Finding]:
    """Return that the object is not there, once for each way it is needed on."""
    problem = Problem(
        "The org has no such object, or the user may not see it.", f"{DEPLOY} {ACCESS}"
    )
    ways: list[Way] = ["push"] if mapping.push is not None else []
    if not ways or mapping.pull is not None or mapping.intents:
        ways.append("pull")
    return [_finding(mapping, file, _Place(("object",), "*", way), problem) for way in ways]


@dataclass(frozen=True, slots=True)
class _Place:
    """What was looked at: where it stands, its field, and the way that needs it."""

    at: Location
    field: str
    way: Way


def _finding(mapping: Mapping, file: YamlFile, place: _Place, problem: Problem) -> Finding:
    return Finding(
        file=mapping.file,
        line=file.line_of(place.at),
        entity=mapping.entity,
        object=mapping.object,
        field=place.field,
        problem=problem.said,
        remedy=problem.remedy,
        halts=place.way if problem.halts else None,
    )


def _check(
    mapping: Mapping, file: YamlFile, about: dict[str, Any], objects: dict[str, str]
) -> Iterator[Finding]:
    fields = {field["name"]: field for field in about["fields"]}
    for place, problem in (
        *_way_out(mapping, about, fields),
        *_parents(mapping, fields, objects),
        *_way_in(mapping, fields),
        *_kinds(mapping, about, fields),
        *_persons_own(mapping, fields),
    ):
        yield _finding(mapping, file, place, problem)


_Found = Iterator[tuple[_Place, Problem]]
_Fields = dict[str, dict[str, Any]]


def _way_out(mapping: Mapping, about: dict[str, Any], fields: _Fields) -> _Found:
    push = mapping.push
    if push is None:
        return
    for problem in fitting.writable_object(mapping, about):
        yield _Place(("object",), "*", "push"), problem
    for name, field in mapping.fields.items():
        for problem in fitting.is_of_another(name) or fitting.pushed(
            mapping, field, fields.get(name)
        ):
            yield _Place(("fields", name), name, "push"), problem
    if push.is_keyed:
        for problem in fitting.key(fields.get(push.key)):
            yield _Place(("push", "key"), push.key, "push"), problem
    stamps = push.stamps
    for name in filter(None, (stamps.status, stamps.error, stamps.synced_at) if stamps else ()):
        for problem in fitting.written(mapping, fields.get(name)):
            yield _Place(("push", "stamps"), name, "push"), problem
    for name, problem in fitting.left_empty(mapping, fields):
        yield _Place(("fields",), name, "push"), problem
    yield from _currency(mapping, fields)


def _parents(mapping: Mapping, fields: _Fields, objects: dict[str, str]) -> _Found:
    for name, parent in mapping.parents.items():
        shown = fields.get(name)
        problems = fitting.is_of_another(name) or fitting.pushed(mapping, _REFERENCE, shown)
        if shown is not None and not problems:
            problems = fitting.points_to(objects[parent.entity], shown)
        for problem in problems:
            yield _Place(("parents", name), name, "push"), problem


def _currency(mapping: Mapping, fields: _Fields) -> _Found:
    shown = fields.get(CURRENCY_FIELD)
    if shown is None:
        return
    money = any(field.type is FieldType.MONEY for field in mapping.fields.values())
    if mapping.currency is not None:
        for problem in fitting.written(mapping, shown):
            yield _Place(("currency",), CURRENCY_FIELD, "push"), problem
    elif money and mapping.born == "hub" and CURRENCY_FIELD not in mapping.fields:
        said = "The org has several currencies; amounts are taken in that of the connector's user."
        remedy = "Write `currency: <column with the currency>`."
        yield (
            _Place(("fields",), CURRENCY_FIELD, "push"),
            Problem(said, remedy, halts=False),
        )


def _way_in(mapping: Mapping, fields: _Fields) -> _Found:
    pulled: dict[str, PullField] = mapping.pull.fields if mapping.pull else {}
    for name, field in pulled.items():
        for problem in fitting.is_of_another(name) or fitting.pulled(field, fields.get(name)):
            yield _Place(("pull", "fields", name), name, "pull"), problem
    for place, rule in enumerate(mapping.intents):
        for name in {rule.when.field: None} | dict.fromkeys(rule.facts):
            for problem in fitting.is_of_another(name) or fitting.exists(fields.get(name)):
                yield _Place(("intents", place), name, "pull"), problem
        for problem in fitting.may_become(rule.when, fields.get(rule.when.field)):
            yield _Place(("intents", place, "when"), rule.when.field, "pull"), problem
        for name in rule.clear:
            for problem in fitting.written(mapping, fields.get(name)):
                yield (
                    _Place(("intents", place, "clear"), name, "pull"),
                    Problem(problem.said, problem.remedy, halts=name not in fields),
                )


def _reading(mapping: Mapping, known: ways_in.Known, query: ways_in.Query | None) -> _Found:
    for name, problem in ways_in.broken_paths(mapping, known):
        yield _Place(("pull", "unstamped", name), name, "pull"), problem
    for problem in ways_in.refused_conditions(mapping, query) if query else ():
        yield _Place(("pull", "where"), "*", "pull"), problem


def _kinds(mapping: Mapping, about: dict[str, Any], fields: _Fields) -> _Found:
    names = {info["developerName"] for info in about.get("recordTypeInfos") or ()}
    for place, when in _conditions(mapping):
        if when.person is not None and IS_PERSON not in fields:
            said = "This org has no person accounts."
            remedy = "Remove the condition, or switch person accounts on."
            yield _Place(place, IS_PERSON, "pull"), Problem(said, remedy)
        for name in when.record_type:
            if name not in names:
                said = f"The object has no record type {name}: the field is never sent or read."
                remedy = "Correct the developer name, or make the record type."
                yield _Place(place, str(place[-1]), "pull"), Problem(said, remedy, halts=False)


def _persons_own(mapping: Mapping, fields: _Fields) -> _Found:
    """Yield the fields that only persons have, where the mapping does not say so."""
    if mapping.object != "Account" or IS_PERSON not in fields:
        return
    said, remedy = "Only person accounts have this field.", "Write `when: {person: true}`."
    pulled = mapping.pull.fields if mapping.pull else {}
    for name, sent in mapping.fields.items():
        if _is_persons(name) and not (sent.when and sent.when.person):
            yield _Place(("fields", name), name, "push"), Problem(said, remedy)
    for name, read in pulled.items():
        if _is_persons(name) and not (read.when and read.when.person):
            # A business shows it as empty, and that would empty the column.
            yield _Place(("pull", "fields", name), name, "pull"), Problem(said, remedy)


def _is_persons(name: str) -> bool:
    return name.startswith("Person") or name.endswith("__pc")


def _conditions(mapping: Mapping) -> Iterator[tuple[Location, Any]]:
    for name, field in mapping.fields.items():
        if field.when is not None:
            yield ("fields", name), field.when
    for name, pulled in mapping.pull.fields.items() if mapping.pull else ():
        if pulled.when is not None:
            yield ("pull", "fields", name), pulled.when
