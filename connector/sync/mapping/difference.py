"""What differs between two sets of mapping files, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

from connector.sync.mapping.definition import Mapping as EntityMapping
from connector.sync.mapping.definition import Mappings

_LISTED = {
    "fields": "field sent",
    "parents": "parent",
    "pull.fields": "field read",
}


def differences(ours: Mappings, theirs: Mappings) -> tuple[str, ...]:
    """Return what has to be done to ours to have theirs, one sentence for each change."""
    said: list[str] = []
    for entity in sorted(ours.by_entity.keys() | theirs.by_entity.keys()):
        mine, other = ours.by_entity.get(entity), theirs.by_entity.get(entity)
        if mine is None or other is None:
            said.append(f"{entity}: {'added' if mine is None else 'removed'} as a whole.")
            continue
        said += _of_entity(mine, other)
    return tuple(said)


def _of_entity(mine: EntityMapping, other: EntityMapping) -> Iterator[str]:
    before, after = _plain(mine), _plain(other)
    pull_before, pull_after = before.pop("pull") or {}, after.pop("pull") or {}
    before |= {f"pull.{key}": value for key, value in pull_before.items()}
    after |= {f"pull.{key}": value for key, value in pull_after.items()}
    for key in dict.fromkeys((*before, *after)):
        mine_said, their_said = before.get(key), after.get(key)
        if mine_said == their_said:
            continue
        if key in _LISTED:
            yield from _of_list(mine.entity, _LISTED[key], mine_said or {}, their_said or {})
        elif isinstance(mine_said, dict) and isinstance(their_said, dict):
            yield from _of_keys(f"{mine.entity}: {key}", mine_said, their_said)
        else:
            yield f"{mine.entity}: {key}: {_short(mine_said)} becomes {_short(their_said)}."


def _of_list(
    entity: str, what: str, mine: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[str]:
    for name in dict.fromkeys((*mine, *other)):
        if name not in other:
            yield f"{entity}: {what} {name}: removed."
        elif name not in mine:
            yield f"{entity}: {what} {name}: added ({_short(other[name])})."
        else:
            yield from _of_keys(f"{entity}: {what} {name}", mine[name], other[name])


def _of_keys(where: str, mine: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys((*mine, *other)):
        if mine.get(key) != other.get(key):
            yield f"{where}: {key}: {_short(mine.get(key))} becomes {_short(other.get(key))}."


def _plain(mapping: EntityMapping) -> dict[str, Any]:
    plain: dict[str, Any] = mapping.model_dump(mode="json", by_alias=True, exclude={"file"})
    return plain


def _short(value: object) -> str:
    if isinstance(value, dict):
        said = ", ".join(f"{key} {_short(one)}" for key, one in value.items() if one)
        return said or "nothing"
    if isinstance(value, list):
        return ", ".join(_short(one) for one in value) or "nothing"
    return "nothing" if value is None or value == "" else str(value)
