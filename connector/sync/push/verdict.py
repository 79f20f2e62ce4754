"""What a refusal of the CRM means: try again, a person must act, or the set-up is wrong."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from connector.adapters.salesforce.answers import RowError


class Verdict(StrEnum):
    """What follows from a refused row."""

    RETRY = "retry"
    PARENT_GONE = "parent gone"
    RECORD_GONE = "record gone"
    EXISTS = "exists"
    DATA = "data"
    CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused row, judged."""

    verdict: Verdict
    code: str
    message: str
    remedy: str


# Fact sheet B.5. What is in no list is the fault of the data: a person has to look.
_RETRY = frozenset(
    {
        "UNABLE_TO_LOCK_ROW", "ENTITY_IS_LOCKED", "SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG",
        "QUERY_TIMEOUT", "UNKNOWN_EXCEPTION", "LIMIT_EXCEEDED", "TOO_MANY_APEX_REQUESTS",
        "API_CURRENTLY_DISABLED", "ORG_IN_MAINTENANCE", "PROCESSING_HALTED",
        "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "REQUEST_LIMIT_EXCEEDED", "INVALID_SESSION_ID",
    }
)  # fmt: skip
_CONFIGURATION = {
    "INVALID_FIELD": "Deploy the fields of the mapping to the org, or correct the mapping file.",
    "INVALID_TYPE": "Deploy the objects of the mapping to the org, or correct the mapping file.",
    "NOT_FOUND": "Make the key field an external id in the org, or correct push.key.",
    "INVALID_FIELD_FOR_INSERT_UPDATE": "Give the connector's user edit access to this field.",
    "INSUFFICIENT_ACCESS": "Assign the permission set L2C_Integration to the connector's user.",
    "JSON_PARSER_ERROR": "Correct the type of this field in the mapping file.",
}
_DATA = {
    "REQUIRED_FIELD_MISSING": "Fill this field in the hub, or make it optional in the CRM.",
    "STRING_TOO_LONG": "Shorten the text, or state `length` in the mapping file.",
    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST": "Add the value to the picklist in the CRM, or "
    "translate it with `values` in the mapping file.",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "A validation rule of the CRM refuses the record: correct "
    "the data, or exempt the connector's user from the rule.",
    "FIELD_INTEGRITY_EXCEPTION": "Two values contradict each other in the CRM: correct one.",
    "DUPLICATE_VALUE": "Another record in the CRM has this key: merge the two, or clear its key.",
    "DUPLICATE_EXTERNAL_ID": "Several records in the CRM have this key: keep one.",
    "DUPLICATES_DETECTED": "A duplicate rule of the CRM stops the record: merge, or exempt the "
    "connector's user.",
    "NUMBER_OUTSIDE_VALID_RANGE": "The number does not fit the field: widen the field in the CRM.",
    "INVALID_EMAIL_ADDRESS": "Correct the e-mail address.",
    "INSUFFICIENT_ACCESS_OR_READONLY": "Give the connector's user edit access to this record.",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": "Give the connector's user access to the "
    "record this one points to.",
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": "Automation in the CRM failed: its text says which.",
    "CANNOT_EXECUTE_FLOW_TRIGGER": "A flow in the CRM failed: its text says which.",
    "STORAGE_LIMIT_EXCEEDED": "The CRM's storage is full: free some or buy more.",
}  # fmt: skip
_GONE = frozenset({"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY"})
_REPARENT = (
    "In the CRM the record hangs on another master and cannot be moved: delete it there, so it "
    "is made anew, or allow reparenting of this field."
)
_LATER = "Nothing: it is sent again by itself."
_FALLBACK = "Look at the record in the CRM, correct it there or here, and it is sent again."


def taxonomy() -> dict[str, tuple[Verdict, str]]:
    """Return what follows from each code of Salesforce, and the remedy."""
    known = dict.fromkeys(sorted(_RETRY), (Verdict.RETRY, _LATER))
    known |= {code: (Verdict.CONFIGURATION, remedy) for code, remedy in _CONFIGURATION.items()}
    return known | {code: (Verdict.DATA, remedy) for code, remedy in _DATA.items()}


def remedy_of(code: str) -> str:
    """Return what a person does about data that the CRM refuses with this code."""
    return _DATA.get(code, _FALLBACK)


def judge(
    errors: tuple[RowError, ...], *, is_update: bool, parents: Collection[str] = ()
) -> Refusal:
    """Judge a refused row.

    `is_update` says that the record was believed to exist, `parents` which fields name parents.
    """
    error = errors[0] if errors else RowError("UNKNOWN_EXCEPTION", "The CRM gave no reason.")
    code, message = error.code, error.message
    if code in _RETRY or "UNABLE_TO_LOCK_ROW" in message:
        return Refusal(Verdict.RETRY, code, message, _LATER)
    if code == "INVALID_FIELD" and message.startswith("Foreign key external ID"):
        remedy = "The record this one belongs to is gone from the CRM; it is sent again first."
        return Refusal(Verdict.PARENT_GONE, code, message, remedy)
    if is_update and (code in _GONE or code == "REQUIRED_FIELD_MISSING"):
        remedy = "The record was deleted in the CRM; it is made again."
        return Refusal(Verdict.RECORD_GONE, code, message, remedy)
    if code == "INVALID_FIELD_FOR_INSERT_UPDATE" and error.fields and is_about(error, parents):
        # The master of a detail is given at birth and cannot be sent to a record that exists.
        verdict = Verdict.DATA if is_update else Verdict.EXISTS
        return Refusal(verdict, code, message, _REPARENT)
    if code in _CONFIGURATION:
        return Refusal(Verdict.CONFIGURATION, code, message, _CONFIGURATION[code])
    return Refusal(Verdict.DATA, code, message, remedy_of(code))


def is_about(error: RowError, parents: Collection[str]) -> bool:
    """Return whether an error names nothing but fields that point to parents."""
    named = {
        name.removesuffix("__r") + "__c" if name.endswith("__r") else name for name in error.fields
    }
    return named <= set(parents)
