"""What the org refuses to answer, told with the lines of the mapping files that ask for it.

A person who reads it looks for the mistake there: a condition, a path, a field.
"""

from collections.abc import Callable

from connector.adapters.salesforce.errors import OrgRefused
from connector.errors import Misconfigured
from connector.sync.mapping.definition import Mapping, Mappings
from connector.yaml_file import Location, read_yaml

Asks = Callable[[Mapping], Location | None]


def refusal(error: OrgRefused, mappings: Mappings, object_name: str, asks: Asks) -> str:
    """Return the org's words on one line, and where the mappings of the object ask for it."""
    places = [
        _line(mapping, place)
        for mapping in mappings.of_object(object_name)
        if (place := asks(mapping)) is not None
    ]
    said = " ".join(error.message.split())
    return f"{said} ({', '.join(places)})" if places else said


def condition_or_fields(mapping: Mapping) -> Location | None:
    """Return what a question for records is made of; the condition is what only an org can judge.

    Names of fields are held against the describes before anything is asked.
    """
    if mapping.pull is not None:
        return ("pull", "where") if mapping.pull.where else ("pull", "fields")
    return ("intents",) if mapping.intents else None


def path_of(path: str) -> Asks:
    """Return what names the field that changes with the parent at the end of a path."""

    def asks(mapping: Mapping) -> Location | None:
        for name, followed in mapping.pull.unstamped.items() if mapping.pull else ():
            if followed == path:
                return ("pull", "unstamped", name)
        return None

    return asks


def _line(mapping: Mapping, place: Location) -> str:
    try:
        return f"{mapping.file}:{read_yaml(mapping.file).line_of(place)}"
    except Misconfigured:  # somebody is writing it at this moment
        return str(mapping.file)
