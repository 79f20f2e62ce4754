"""Reads a scenario; whatever is wrong with it is told with file, line and clash."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from connector.errors import InvalidInput
from connector.simulation.events import KINDS
from connector.simulation.play import EventRefused
from connector.simulation.script import Script
from connector.yaml_file import Location, YamlFile, read_yaml

Model = TypeVar("Model", bound=BaseModel)

PROBLEMS_SHOWN_MAX = 10


class BadScenario(InvalidInput):
    """A scenario or an estimate says something that cannot be."""

    code = "simulation.bad_scenario"
    remedy = "See docs/how-to/simulate.md for the grammar."


def read_script(path: Path) -> tuple[Script, YamlFile]:
    """Read a scenario and where its values stand.

    Raises:
        UnreadableFile: It is no YAML, too large, or hostile.
        BadScenario: It does not follow the grammar.
    """
    return read_model(path, Script)


def read_model(path: Path, model: type[Model]) -> tuple[Model, YamlFile]:
    """Read a file of a grammar and where its values stand.

    Raises:
        UnreadableFile: It is no YAML, too large, or hostile.
        BadScenario: It does not follow the grammar.
    """
    file = read_yaml(path)
    try:
        return model.model_validate(file.data), file
    except ValidationError as error:
        problems = [
            _problem(file, tuple(one["loc"]), one["type"], one["msg"])
            for one in error.errors(include_url=False)[:PROBLEMS_SHOWN_MAX]
        ]
        raise BadScenario("\n".join(dict.fromkeys(problems))) from error


def located(error: EventRefused, file: YamlFile) -> EventRefused:
    """Return a refusal that says where its event stands."""
    line = file.line_of(("events", error.index))
    found = EventRefused(error.index, error.cause)
    found.message = f"{file.path}, line {line}: {error.message}"
    return found


def _problem(file: YamlFile, found: Location, kind: str, message: str) -> str:
    location = _as_written(file, found)
    line = file.line_of(location)
    key = ".".join(str(step) for step in location) or "the file"
    if kind == "extra_forbidden":
        return f"{file.path}, line {line}: {key} is not a key of the grammar."
    if kind == "missing":
        return f"{file.path}, line {line}: {key} is missing."
    text = message.removeprefix("Value error, ")
    return f"{file.path}, line {line}: {key}: {text[:1].lower()}{text[1:]}."


def _as_written(file: YamlFile, found: Location) -> Location:
    """Drop the steps that the checker adds for its own alternatives; they stand in no file."""
    kept: Location = ()
    for position, step in enumerate(found):
        is_tag = len(kept) == 2 and kept[0] == "events" and step in KINDS and position == 2
        last = position == len(found) - 1
        if is_tag or (not file.has((*kept, step)) and not last):
            continue
        kept = (*kept, step)
    return kept
