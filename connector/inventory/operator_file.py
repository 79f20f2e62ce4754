"""Reads a YAML file that an operator edits into a checked model; mistakes name file and line."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from connector.errors import Misconfigured
from connector.yaml_file import read_yaml

Model = TypeVar("Model", bound=BaseModel)


def read_operator_file(path: Path, model: type[Model], error: type[Misconfigured]) -> Model:
    """Return what the file says.

    Raises:
        UnreadableFile: It is missing or not plain YAML.
        Misconfigured: The given `error`: the first thing in it that may not be.
    """
    file = read_yaml(path)
    try:
        return model.model_validate(file.data or {})
    except ValidationError as refusal:
        first = refusal.errors()[0]
        place = tuple(first["loc"])
        where = ".".join(str(part) for part in place) or "the file"
        raise error(f"{path}, line {file.line_of(place)}: {where}: {first['msg']}.") from refusal
