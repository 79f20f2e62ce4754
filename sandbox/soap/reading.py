"""Reads the envelope of a call; anything that could make a parser work hard is refused."""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from .faults import SoapFault, client_fault
from .types import ENVELOPE, PARTNER, XSI

NIL = f"{{{XSI}}}nil"
_OPTIONS = {
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "huge_tree": False,
    "remove_comments": True,
    "remove_pis": True,
}


class Given:
    """An element of a call, read by local names; what is nil counts as not given."""

    __slots__ = ("element",)

    def __init__(self, element: etree._Element) -> None:
        self.element = element

    @property
    def name(self) -> str:
        """The local name."""
        return str(etree.QName(self.element).localname)

    @property
    def text(self) -> str:
        """The text, without white space around it."""
        return (self.element.text or "").strip()

    @property
    def raw(self) -> str:
        """The text as it was sent."""
        return str(self.element.text or "")

    @property
    def is_nil(self) -> bool:
        """Whether the caller says there is no value."""
        return self.element.get(NIL, "").strip() in {"true", "1"}

    @property
    def is_nested(self) -> bool:
        """Whether there are elements inside."""
        return len(self.element) > 0

    def children(self) -> Iterator["Given"]:
        """Yield the elements inside that have a value."""
        for child in self.element:
            given = Given(child)
            if not given.is_nil:
                yield given

    def all(self, name: str) -> list["Given"]:
        """Return the children of one name."""
        return [child for child in self.children() if child.name == name]

    def texts(self, name: str) -> list[str]:
        """Return the texts of the children of one name."""
        return [child.text for child in self.all(name)]

    def one(self, name: str) -> str | None:
        """Return the text of a child; None where it is not given or empty."""
        return next((text for text in self.texts(name) if text), None)

    def flag(self, name: str) -> bool:
        """Return whether a child says true."""
        return (self.one(name) or "").lower() in {"true", "1"}


@dataclass(frozen=True, slots=True)
class Call:
    """A call: the operation's name, its arguments, and the headers by name."""

    operation: str
    arguments: Given
    headers: dict[str, Given]

    def header(self, name: str, member: str) -> str | None:
        """Return one member of a header."""
        found = self.headers.get(name)
        return found.one(member) if found is not None else None

    def header_flag(self, name: str, member: str) -> bool:
        """Return whether a member of a header says true."""
        found = self.headers.get(name)
        return found is not None and found.flag(member)


def read_call(body: bytes) -> Call:
    """Return what a message calls.

    Raises:
        SoapFault: It is no SOAP 1.1 message, or carries a document type.
    """
    try:
        root = etree.fromstring(body, etree.XMLParser(**_OPTIONS))
    except (etree.XMLSyntaxError, ValueError) as error:
        raise client_fault(f"The message is no well-formed XML: {error}") from error
    if root is None or root.getroottree().docinfo.doctype:
        raise client_fault("A document type declaration is not allowed in a message")
    name = etree.QName(root)
    if name.localname != "Envelope":
        raise client_fault(f"No operation available for request {{{name.namespace or ''}}}")
    if name.namespace != ENVELOPE:
        message = "The message is not of SOAP 1.1"
        raise SoapFault("soapenv:VersionMismatch", message, kind=None)
    head = root.find(f"{{{ENVELOPE}}}Header")
    headers = {g.name: g for g in Given(head).children()} if head is not None else {}
    content = root.find(f"{{{ENVELOPE}}}Body")
    calls = list(Given(content).children()) if content is not None else []
    if len(calls) != 1:
        raise client_fault("The body of the message must hold exactly one call")
    called = etree.QName(calls[0].element)
    if called.namespace != PARTNER:
        raise no_operation(called.namespace, called.localname)
    return Call(operation=called.localname, arguments=calls[0], headers=headers)


def no_operation(namespace: str | None, name: str) -> SoapFault:
    """Return the fault of an operation that does not exist."""
    return client_fault(f"No operation available for request {{{namespace or ''}}}{name}")
