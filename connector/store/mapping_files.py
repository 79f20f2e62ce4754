"""Where the mapping files are, and YAML read so that every value knows its line."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from connector.errors import Misconfigured

PACKAGE = "l2c_mappings"  # the folder `mappings/` under the name it is installed by


class MappingError(Misconfigured):
    """A mapping file cannot be used as it is written."""

    code = "mapping.invalid"

    def __init__(self, message: str, *, file: Path, line: int, remedy: str) -> None:
        super().__init__(f"{file}:{line}: {message}", remedy=remedy)
        self.file = file
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed YAML file and the line of each of its values."""

    file: Path
    data: dict[str, Any]
    lines: dict[tuple[str | int, ...], int]

    def line_of(self, path: tuple[str | int, ...]) -> int:
        """Return the line of a value, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def salesforce_folder() -> Path:
    """Return the folder of the Salesforce mappings that came with this installation."""
    spec = importlib.util.find_spec(PACKAGE)
    for location in (spec.submodule_search_locations if spec else None) or ():
        folder = Path(location) / "salesforce"
        if folder.is_dir():
            return folder
    raise Misconfigured(
        "The mapping files are not installed.",
        remedy="Install the package again, or name your own mapping folder in the settings.",
    )


def documents(folder: Path) -> tuple[Document, ...]:
    """Read every mapping file of a folder, in the order of the file names."""
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise Misconfigured(
            f"There is no mapping file in {folder}.",
            remedy="Name the folder that holds the files such as account.yaml.",
        )
    return tuple(read_document(file) for file in files)


def read_document(file: Path) -> Document:
    """Read one YAML file.

    Raises:
        MappingError: It is not YAML, a key stands twice, or it is not a table of keys and values.
    """
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise MappingError(
            f"this is not YAML: {error.problem}",
            file=file,
            line=mark.line + 1 if mark else 1,
            remedy="Correct the indentation or the quotes at this place.",
        ) from error
    if not isinstance(root, yaml.MappingNode):
        raise MappingError(
            "a mapping file is a table of keys and values",
            file=file,
            line=1,
            remedy="Begin the file with `entity: <name>`.",
        )
    lines: dict[tuple[str | int, ...], int] = {}
    data = _value(root, (), file=file, lines=lines)
    return Document(file=file, data=data, lines=lines)


def _value(
    node: yaml.Node, path: tuple[str | int, ...], *, file: Path, lines: dict[Any, int]
) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        table: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in table:
                raise MappingError(
                    f"the key {key!r} stands here twice",
                    file=file,
                    line=line,
                    remedy="Keep one of them.",
                )
            lines[(*path, key)] = line
            table[key] = _value(value_node, (*path, key), file=file, lines=lines)
        return table
    if isinstance(node, yaml.SequenceNode):
        return [
            _value(child, (*path, place), file=file, lines=lines)
            for place, child in enumerate(node.value)
        ]
    return _scalar(node, file=file)


def _scalar(node: yaml.Node, *, file: Path) -> Any:
    loader = yaml.SafeLoader("")
    try:
        # `on`, `yes` and `no` stay words: a key or a column may be called so.
        if node.tag == "tag:yaml.org,2002:bool" and node.value not in ("true", "false"):
            return node.value
        return loader.construct_object(node)
    except yaml.YAMLError as error:
        raise MappingError(
            f"{node.value!r} cannot be read",
            file=file,
            line=node.start_mark.line + 1,
            remedy="Put the value in quotes.",
        ) from error
    finally:
        loader.dispose()
