"""What a mapping says about reading besides its fields: paths to parents, and a condition.

The paths of `unstamped` are followed through the describes; the condition `where` is SOQL, which
only an org can judge, so it is asked for one record of each.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from connector.adapters.salesforce.errors import OrgRefused
from connector.sync.mapping.definition import Mapping
from connector.sync.mapping.fitting import Problem

# What is known of an object; None where the org does not show it, or nobody asked.
Known = Callable[[str], dict[str, Any] | None]
Query = Callable[[str], object]
_TARGETS_SHOWN = 3


def broken_paths(mapping: Mapping, known: Known) -> Iterator[tuple[str, Problem]]:
    """Yield the fields whose relationship tells of no move of a parent, each once."""
    for name, path in _paths(mapping):
        broken = _follow(mapping.object, path, known).broken
        if broken:
            said = f"{broken}: a move of the parent tells nothing."
            remedy = "Correct the path, or write null: a round by Id reads the field all the same."
            yield name, Problem(said, remedy, halts=False)


def unknown_ends(mapping: Mapping, known: Known) -> Iterator[tuple[str, str]]:
    """Yield the paths that lead through an object of which nothing is known, with its name."""
    for _, path in _paths(mapping):
        unknown = _follow(mapping.object, path, known).unknown
        if unknown and unknown != mapping.object:
            yield path, unknown


def _paths(mapping: Mapping) -> Iterator[tuple[str, str]]:
    for name, path in mapping.pull.unstamped.items() if mapping.pull else ():
        if path is not None:
            yield name, path


@dataclass(frozen=True, slots=True)
class _Followed:
    """How far a path could be followed: to its end, or to what is said here."""

    broken: str = ""
    unknown: str = ""


def _follow(start: str, path: str, known: Known) -> _Followed:
    object_name = start
    for step in path.split("."):
        about = known(object_name)
        if about is None:
            return _Followed(unknown=object_name)
        targets = next(
            (
                field["referenceTo"]
                for field in about["fields"]
                if (field.get("relationshipName") or "").lower() == step.lower()
            ),
            None,
        )
        if targets is None:
            return _Followed(broken=f"{object_name} has no relationship {step}")
        if len(targets) != 1:
            # SOQL shows of it what a name has, which is no stamp and no way further up.
            said = f"{step} of {object_name} may lead to {_one_of(targets)}"
            return _Followed(broken=said)
        (object_name,) = targets
    return _Followed()


def _one_of(targets: Sequence[str]) -> str:
    shown = [*targets[:_TARGETS_SHOWN], *(["others"] if len(targets) > _TARGETS_SHOWN else [])]
    return f"{', '.join(shown[:-1])} or {shown[-1]}" if shown else "any object"


def refused_conditions(mapping: Mapping, query: Query) -> Iterator[Problem]:
    """Yield that the org refuses the condition, in its words; one call where there is one.

    Raises:
        OrgUnavailable: The org does not answer.
    """
    if mapping.pull is None or mapping.pull.where is None:
        return
    # Not of strangers: the file is the operator's, and the org lets nobody see more than its user.
    try:
        query(f"SELECT Id FROM {mapping.object} WHERE ({mapping.pull.where}) LIMIT 1")  # noqa: S608
    except OrgRefused as refused:
        said = f"The org refuses this condition, so no sweep reads the object: {refused.message}"
        yield Problem(" ".join(said.split()), "Correct the SOQL in `where`.", halts=False)
