"""Values that the org is known to refuse, found before they are sent.

From what the org said of an object comes one SQL expression: it names the first changed value that
does not fit. Checking is part of the statement that reads the state, so it costs no round trip.
"""

from collections.abc import Iterator
from typing import Any

from connector.sync.mapping.definition import FieldType, Mapping, PushField
from connector.sync.mapping.transforms import hub_value, literal, when_sql
from connector.sync.push.verdict import Refusal, Verdict, remedy_of

_NUMBERS = frozenset({FieldType.MONEY, FieldType.NUMBER, FieldType.INTEGER})
_TEXTS = frozenset({"string", "textarea", "email", "phone", "url", "encryptedstring"})
_SEPARATOR = "|"


def misfit_sql(mapping: Mapping, described: dict[str, Any]) -> str:
    """Return the expression that is NULL when everything fits, else `code|field|detail`."""
    fields = {field["name"]: field for field in described["fields"]}
    cases = [
        f"WHEN ({condition}) AND {when_sql(field)} AND {_is_sent(name, value)} THEN "
        f"{literal(_SEPARATOR.join((code, name, detail)))}"
        for name, field in mapping.fields.items()
        if name in fields
        for value in (hub_value(field, "v"),)
        for code, condition, detail in _misfits(field, fields[name], value)
    ]
    return f"CASE {' '.join(cases)} END" if cases else "NULL\\:\\:text"


def refusal_of(finding: str) -> Refusal:
    """Read what the expression found, in the words the org would have used (fact sheet B.5)."""
    code, field, detail = finding.split(_SEPARATOR, 2)
    messages = {
        "STRING_TOO_LONG": f"{field}: data value too large (max length={detail})",
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": f"{field}: bad value for restricted picklist",
        "REQUIRED_FIELD_MISSING": f"Required fields are missing: [{field}]",
        "NUMBER_OUTSIDE_VALID_RANGE": f"{field}: more than {detail} digits before the point",
    }
    return Refusal(Verdict.DATA, code, f"{messages[code]} (not sent)", remedy_of(code))


def _is_sent(name: str, value: str) -> str:
    """Only a value that is new there is sent: an old one has been accepted once."""
    return (
        f"(r.sfid IS NULL OR coalesce(r.known, '{{}}') -> {literal(name)} "
        f"IS DISTINCT FROM to_jsonb({value}))"
    )


def _misfits(field: PushField, shown: dict[str, Any], value: str) -> Iterator[tuple[str, str, str]]:
    length = shown["length"] or 0
    if shown["type"] in _TEXTS and length and (field.length is None or field.length > length):
        yield "STRING_TOO_LONG", f"char_length({value}) > {int(length)}", str(length)
    if shown["restrictedPicklist"] and field.type not in _NUMBERS:
        active = [one["value"] for one in shown["picklistValues"] or () if one["active"]]
        listed = ", ".join(literal(word) for word in active)
        if shown["type"] == "picklist" and listed:
            yield (
                "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                f"{value} IS NOT NULL AND {value} NOT IN ({listed})",
                "",
            )
    if (
        shown["createable"]
        and not shown["nillable"]
        and not shown["defaultedOnCreate"]
        and field.type is not FieldType.BOOLEAN
    ):
        yield "REQUIRED_FIELD_MISSING", f"{value} IS NULL", ""
    if field.type in _NUMBERS and shown["type"] in ("currency", "double", "percent"):
        whole = int(shown["precision"] or 18) - int(shown["scale"] or 0)
        yield "NUMBER_OUTSIDE_VALID_RANGE", f"abs({value}) >= 1e{whole}", str(whole)
