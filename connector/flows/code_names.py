"""The names by which templates call code. A name is forever: plans of running orders hold it."""

from enum import StrEnum


class CodeName(StrEnum):
    """What a code task can do."""

    OPEN_ACCOUNT = "billing.open_account"
    CHARGE_ONCE = "billing.charge_once"
    ASSIGN_NUMBER = "inventory.assign_number"
    START_SERVICE = "inventory.start_service"
    APPLY_CHANGE = "inventory.apply_change"
    END_SERVICE = "inventory.end_service"


CODE_NAMES = frozenset(CodeName)

# Code that moves billing: it runs in the task that is the billing milestone, and only there.
MILESTONE_CODE = frozenset(
    {CodeName.START_SERVICE, CodeName.APPLY_CHANGE, CodeName.END_SERVICE, CodeName.CHARGE_ONCE}
)
