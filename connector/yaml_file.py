"""Reads YAML that a person edits: safely, exactly, and knowing where every value stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from connector.errors import Misconfigured

SIZE_BYTES_MAX = 1024 * 1024
_DEPTH_MAX = 40
_MERGE_TAG = "tag:yaml.org,2002:merge"

Location = tuple[str | int, ...]


class UnreadableFile(Misconfigured):
    """The file is not the YAML it should be."""

    code = "file.unreadable"


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What a file holds, and the line of every value.

    Numbers with a point are Decimal. A key that no line is known for (it is missing) has the line
    of the nearest value around it.
    """

    path: Path
    data: Any
    lines: Mapping[Location, int]

    def line_of(self, location: Location) -> int:
        """Return the line a value or its key stands on, counted from 1."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.lines:
                return self.lines[location[:length]]
        return 1

    def has(self, location: Location) -> bool:
        """Return whether the file itself says something at this place."""
        return location in self.lines


# The parser in C reads five times as fast; where PyYAML was built without it, the other does.
_Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Safe):  # type: ignore[misc]
    """Builds plain values only; decimal numbers keep their digits."""


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> Decimal | str:
    text = str(loader.construct_scalar(node))
    try:
        number = Decimal(text.replace("_", ""))
    except ArithmeticError:
        return text  # .inf, .nan and sexagesimal: no number of ours
    return number if number.is_finite() else text


def _day(loader: _Loader, node: yaml.ScalarNode) -> Any:
    try:
        return loader.construct_yaml_timestamp(node)
    except ValueError:
        raise yaml.constructor.ConstructorError(
            None, None, f"'{node.value}' is no day of the calendar", node.start_mark
        ) from None


_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _day)


def read_yaml(path: Path) -> YamlFile:
    """Read one document.

    Refuses what no person writes by hand: more than a megabyte, anchors and aliases (bombs), tags,
    merge keys, deep nesting, a key given twice.

    Raises:
        UnreadableFile: With file, line and what to do.
    """
    text = _text_of(path)
    try:
        _refuse_hostile(path, text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[Location, int] = {}
            if node is not None:
                _note_lines(path, node, (), lines)
            data = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise _unreadable(path, line, f"{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise _unreadable(path, 1, str(error).splitlines()[0]) from error
    return YamlFile(path=path, data=data, lines=lines)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_BYTES_MAX + 1)
    except OSError as error:
        raise UnreadableFile(
            f"{path} cannot be read: {error.strerror}.", remedy="Name another file, or make it."
        ) from error
    if len(content) > SIZE_BYTES_MAX:
        raise UnreadableFile(
            f"{path} is larger than {SIZE_BYTES_MAX} bytes.", remedy="Split it into several files."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _unreadable(path, line, "a byte that is not UTF-8", "Save it as UTF-8.") from error


def _unreadable(path: Path, line: int, problem: str, remedy: str = "") -> UnreadableFile:
    return UnreadableFile(f"{path}, line {line}: {problem}.", remedy=remedy)


def _refuse_hostile(path: Path, text: str) -> None:
    # Events come one by one and nothing is built from them yet, so a bomb has no fuse here.
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _unreadable(path, line, "anchors and aliases are not allowed", "Write it out.")
        tag = getattr(event, "tag", None)
        if tag:
            raise _unreadable(path, line, f"the tag {tag} is not allowed", "Leave it out.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEPTH_MAX:
                raise _unreadable(path, line, f"more than {_DEPTH_MAX} levels of nesting")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _note_lines(
    path: Path, node: yaml.Node, location: Location, lines: dict[Location, int]
) -> None:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*location, index)] = item.start_mark.line + 1
            _note_lines(path, item, (*location, index), lines)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE_TAG:
            raise _unreadable(path, line, "a key has to be a plain word")
        place = (*location, key.value)
        if place in lines:
            raise _unreadable(
                path, line, f"{key.value!r} stands here a second time", "Keep one of them."
            )
        lines[place] = line
        _note_lines(path, value, place, lines)
