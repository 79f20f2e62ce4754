"""Writes values as XML of the partner API, in the order of its types."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from .types import ENVELOPE, PARTNER, SOBJECT, TYPES, XSD, XSI, Element

# Characters XML cannot carry.
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
ANSWER_START = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    f'<soapenv:Envelope xmlns:soapenv="{ENVELOPE}" xmlns="{PARTNER}" xmlns:sf="{SOBJECT}" '
    f'xmlns:xsd="{XSD}" xmlns:xsi="{XSI}">'
)


class Xml(str):
    """Text that is XML already: a whole element."""

    __slots__ = ()


def clean(text: str) -> str:
    """Return text escaped, without characters XML cannot carry."""
    return escape(UNWRITABLE.sub("", text), quote=False)


def envelope(name: str, result: str, *, header: str) -> bytes:
    """Return the answer of an operation around its result."""
    head = f"<soapenv:Header>{header}</soapenv:Header>" if header else ""
    return (
        f"{ANSWER_START}{head}<soapenv:Body><{name}Response>{result}</{name}Response>"
        "</soapenv:Body></soapenv:Envelope>"
    ).encode()


def limit_info(used: int, most: int) -> str:
    """Return the header that tells how many calls are left."""
    info = {"current": used, "limit": most, "type": "API REQUESTS"}
    return f"<LimitInfoHeader>{written('limitInfo', 'LimitInfo', info)}</LimitInfoHeader>"


def written(name: str, kind: str, value: Any) -> str:
    """Return one element of a type; a value that is `Xml` is taken as it is."""
    if isinstance(value, Xml):
        return value
    if value is None:
        return f'<{name} xsi:nil="true"/>'
    members = TYPES.get(kind)
    if members is None:
        return f"<{name}{_kind_mark(kind, value)}>{plain(value)}</{name}>"
    inner = "".join(_member(member, value) for member in members)
    return f"<{name}>{inner}</{name}>"


def _member(member: Element, value: Mapping[str, Any]) -> str:
    given = value.get(member.name)
    if member.many:
        items: Sequence[Any] = given or ()
        return "".join(written(member.name, member.type, item) for item in items)
    if given is None and member.optional:
        return ""
    return written(member.name, member.type, given)


def _kind_mark(kind: str, value: Any) -> str:
    if kind != "anyType":
        return ""
    return f' xsi:type="xsd:{"boolean" if isinstance(value, bool) else "string"}"'


def plain(value: Any) -> str:
    """Return a simple value as escaped text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return clean(str(value))
