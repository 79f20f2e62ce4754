"""YAML files read strictly: every value knows its line, decimals stay exact, nothing is guessed."""

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

import yaml

from connector.errors import InvalidInput
from connector.kernel.money import UnknownCurrency, minor_digits

Item = TypeVar("Item")

_NULL = "tag:yaml.org,2002:null"


class BadFile(InvalidInput):
    """A file that an operator writes says something that cannot be."""

    code = "file.invalid"

    def __init__(self, *, path: Path, line: int, problem: str, remedy: str = "") -> None:
        super().__init__(f"{path}:{line}: {problem}", remedy=remedy)
        self.path = path
        self.line = line
        self.problem = problem


class Entry:
    """One mapping of a file. Each key is asked for once; `finish` refuses what nobody asked for.

    `findings` is shared by everything in a file: what `read_each` had to leave out.
    """

    def __init__(
        self, path: Path, node: yaml.Node, what: str, findings: list[BadFile] | None = None
    ) -> None:
        self.findings: list[BadFile] = [] if findings is None else findings
        self.path = path
        self.line = node.start_mark.line + 1
        self.what = what
        self._values: dict[str, yaml.Node] = {}
        self._asked: set[str] = set()
        if not isinstance(node, yaml.MappingNode):
            raise self.error(f"{what} must be a mapping of names to values.")
        for key, value in node.value:
            name = str(key.value)
            if name in self._values:
                raise BadFile(
                    path=path, line=key.start_mark.line + 1, problem=f"'{name}' is there twice."
                )
            self._values[name] = value

    def error(self, problem: str, *, remedy: str = "", key: str = "") -> BadFile:
        """Return the error of this place, or of one of its keys."""
        node = self._values.get(key) if key else None
        line = node.start_mark.line + 1 if node is not None else self.line
        return BadFile(path=self.path, line=line, problem=problem, remedy=remedy)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text exactly as written; without a default the key must be there."""
        node = self._scalar(key, required=default is None)
        return default or "" if node is None else str(node.value).strip()

    def optional_text(self, key: str) -> str | None:
        """Return a text, or None when the key is missing or empty."""
        return self.text(key, "") or None

    def one_of(self, key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        """Return a text that is one of a list."""
        value = self.text(key, default)
        if value not in allowed:
            raise self.error(
                f"{key} '{value}' is not known.",
                remedy=f"Use one of: {', '.join(allowed)}.",
                key=key,
            )
        return value

    def decimal(self, key: str, default: str | None = None) -> Decimal:
        """Return an exact number; what looks like a float in YAML is read from its text."""
        written = self.text(key, default)
        return parse_decimal(written, path=self.path, line=self._line_of(key), name=key)

    def whole(self, key: str, default: int | None = None) -> int:
        """Return a whole number, zero or more."""
        written = self.text(key, None if default is None else str(default))
        if not (written.isascii() and written.isdigit()):
            raise self.error(f"{key} '{written}' is not a whole number.", key=key)
        return int(written)

    def flag(self, key: str) -> bool:
        """Return yes or no; no when missing."""
        return self.one_of(key, ("true", "false"), "false") == "true"

    def day(self, key: str) -> date:
        """Return a date."""
        written = self.text(key)
        try:
            return date.fromisoformat(written)
        except ValueError:
            raise self.error(
                f"{key} '{written}' is not a date.", remedy="Write it as 2026-07-01.", key=key
            ) from None

    def optional_day(self, key: str) -> date | None:
        """Return a date, or None when the key is missing."""
        return self.day(key) if key in self._values else None

    def currency(self, key: str) -> str:
        """Return the code of a currency."""
        return self.currency_code(self.text(key), key=key)

    def currency_code(self, code: str, *, key: str) -> str:
        """Return a code that stands somewhere under a key, when it is one of a currency."""
        try:
            minor_digits(code)
        except UnknownCurrency as error:
            raise self.error(error.message, remedy=error.remedy or "", key=key) from None
        return code

    def entries(self, key: str) -> Iterator["Entry"]:
        """Return the mappings listed under a key; none when it is missing."""
        self._asked.add(key)
        node = self._values.get(key)
        if node is None:
            return
        if not isinstance(node, yaml.SequenceNode):
            raise self.error(f"{key} must be a list.", key=key)
        for item in node.value:
            yield Entry(self.path, item, f"An entry of {key}", self.findings)

    def read_each(self, key: str, read: Callable[["Entry"], Item]) -> tuple[Item, ...]:
        """Return what is read of each mapping listed under a key; what cannot be is a finding."""
        done: list[Item] = []
        try:
            for entry in self.entries(key):
                try:
                    done.append(read(entry))
                except BadFile as error:
                    self.findings.append(error)
        except BadFile as error:
            self.findings.append(error)
        return tuple(done)

    def entry(self, key: str) -> "Entry | None":
        """Return the mapping under a key, or None when it is missing."""
        self._asked.add(key)
        node = self._values.get(key)
        return None if node is None else Entry(self.path, node, key, self.findings)

    def document(self, key: str) -> dict[str, Any] | None:
        """Return the mapping under a key as plain texts, lists and mappings; None when missing.

        Numbers are texts as written, null is None: nothing passes through a float.
        """
        self._asked.add(key)
        node = self._values.get(key)
        if node is None:
            return None
        if not isinstance(node, yaml.MappingNode):
            raise self.error(f"{key} must be a mapping of names to values.", key=key)
        found: dict[str, Any] = _plain(node, self)
        return found

    def optional_names(self, key: str) -> tuple[str, ...]:
        """Return a list of texts; an empty one when the key is missing."""
        return self.names(key) if key in self._values else self._nothing(key)

    def _nothing(self, key: str) -> tuple[str, ...]:
        self._asked.add(key)
        return ()

    def names(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        self._asked.add(key)
        node = self._values.get(key)
        if node is None or not isinstance(node, yaml.SequenceNode):
            raise self.error(f"{self.what} needs a list '{key}'.", key=key)
        return tuple(str(item.value) for item in node.value)

    def finish(self) -> None:
        """Refuse keys that nobody asked for: a mistyped key must not be ignored.

        Raises:
            BadFile: There is one.
        """
        for key in (name for name in self._values if name not in self._asked):
            raise self.error(
                f"'{key}' is not known here.",
                remedy=f"Known keys: {', '.join(sorted(self._asked))}.",
                key=key,
            )

    def _line_of(self, key: str) -> int:
        node = self._values.get(key)
        return self.line if node is None else node.start_mark.line + 1

    def _scalar(self, key: str, *, required: bool) -> yaml.ScalarNode | None:
        self._asked.add(key)
        node = self._values.get(key)
        if node is None:
            if required:
                raise self.error(f"{self.what} needs '{key}'.")
            return None
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(f"{key} must be a single value.", key=key)
        return node


def _plain(node: yaml.Node, entry: Entry) -> Any:
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for name, value in node.value:
            if name.value in found:
                line = name.start_mark.line + 1
                problem = f"'{name.value}' is there twice."
                raise BadFile(path=entry.path, line=line, problem=problem)
            found[str(name.value)] = _plain(value, entry)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, entry) for item in node.value]
    return None if node.tag == _NULL else str(node.value)


def read_yaml(path: Path) -> Entry:
    """Return the mapping a YAML file holds.

    Raises:
        BadFile: It is not YAML, or not a mapping.
    """
    try:
        with path.open(encoding="utf-8") as file:
            node = yaml.compose(file, Loader=yaml.SafeLoader)
    except UnicodeDecodeError:
        raise BadFile(path=path, line=1, problem="The file is not UTF-8.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise BadFile(
            path=path,
            line=1 if mark is None else mark.line + 1,
            problem=f"This is not YAML: {getattr(error, 'problem', error)}.",
        ) from None
    if node is None:
        remedy = "Fill it, or take it away."
        raise BadFile(path=path, line=1, problem="The file is empty.", remedy=remedy)
    return Entry(path, node, path.name)


def parse_decimal(written: str, *, path: Path, line: int, name: str) -> Decimal:
    """Return an exact number of at most nine decimal places, zero or more.

    Raises:
        BadFile: It is not one.
    """
    try:
        value = Decimal(written)
    except InvalidOperation:
        raise BadFile(path=path, line=line, problem=f"{name} '{written}' is no number.") from None
    if not value.is_finite() or value < 0:
        raise BadFile(path=path, line=line, problem=f"{name} {written} is not zero or more.")
    if -int(value.as_tuple().exponent) > 9:
        raise BadFile(
            path=path, line=line, problem=f"{name} {written} has more than nine decimal places."
        )
    return value
