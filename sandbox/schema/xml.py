"""Reads metadata XML files of an SFDX source folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from ..errors import SetupError

SUFFIX = "-meta.xml"
NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True)


class Node:
    """An element of a metadata file, read by local names."""

    __slots__ = ("_element",)

    def __init__(self, element: etree._Element) -> None:
        self._element = element

    def text(self, name: str) -> str | None:
        """Return the text of a child, or None where it is missing or empty."""
        child = self._element.find(NAMESPACE + name)
        return None if child is None or child.text is None else str(child.text)

    def flag(self, name: str) -> bool:
        """Return whether a child says true."""
        return self.text(name) == "true"

    def number(self, name: str, default: int = 0) -> int:
        """Return a child as a whole number."""
        text = self.text(name)
        return default if text is None else int(text)

    def all(self, name: str) -> Iterator["Node"]:
        """Yield the children of one name."""
        for child in self._element.findall(NAMESPACE + name):
            yield Node(child)

    def one(self, name: str) -> "Node | None":
        """Return the first child of a name."""
        return next(self.all(name), None)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of all children of one name."""
        children = self._element.findall(NAMESPACE + name)
        return tuple(child.text for child in children if child.text)

    def leaf(self) -> tuple[str, str] | None:
        """Return the local name and text of the only child, such as `booleanValue`, `true`."""
        for child in self._element:
            return str(child.tag).removeprefix(NAMESPACE), child.text or ""
        return None


def metadata_files(folder: Path | None, pattern: str) -> list[Path]:
    """Return the files anywhere below a folder whose path ends like a pattern, in order.

    Schemas are hundreds of small files, and a start looks through them for each kind: plain
    `os.walk` takes a fifth of what `rglob` does.
    """
    if folder is None:
        return []
    ending = pattern.rpartition("*")[2]
    paths = (
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if name.endswith(ending)
    )
    return sorted(path for path in paths if path.match(pattern))


def read_xml(path: Path) -> Node:
    """Return the root of a metadata file.

    Raises:
        SetupError: The file is not well-formed.
    """
    try:
        return Node(etree.parse(str(path), _PARSER).getroot())
    except (etree.XMLSyntaxError, OSError) as error:
        raise SetupError(f"{path}: not readable as metadata XML: {error}") from error
