"""An operator's rules of delivery, read together and checked against the code they name."""

from dataclasses import dataclass, field
from pathlib import Path

from connector.billing.routing import Routing, load_routing
from connector.errors import Misconfigured
from connector.flows.code_names import CODE_NAMES, MILESTONE_CODE
from connector.inventory.number_ranges import NumberPolicy, load_number_policy
from connector.ordering.policy import DeliveryPolicy, load_delivery_policy
from connector.ordering.templates import (
    BILLING_MILESTONE,
    TaskKind,
    Templates,
    WorkOrderTemplate,
    load_templates,
)
from connector.parties.billing_accounts import PayerTerms


class UnknownCode(Misconfigured):
    """A template names code that this release does not have."""

    code = "flows.unknown_code"


class MisplacedCode(Misconfigured):
    """A template would move billing at the wrong step, or not at all."""

    code = "flows.misplaced_code"
    remedy = "Give `milestone_of` to the step whose code starts, changes, ends or charges."


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """How this operator delivers."""

    policy: DeliveryPolicy
    templates: Templates
    numbers: NumberPolicy
    payers: PayerTerms
    routing: Routing = field(default_factory=Routing)


def load_delivery_rules(mappings: Path, *, payers: PayerTerms) -> DeliveryRules:
    """Read templates and policies from the folder of mapping files.

    `payers` are the terms of billing accounts that these rules open.

    Raises:
        Misconfigured: A file may not be as it is; the error names file and remedy.
    """
    templates = load_templates(mappings / "work_orders")
    if unknown := templates.codes() - CODE_NAMES:
        raise UnknownCode(
            f"Work-order templates name unknown code: {', '.join(sorted(unknown))}.",
            remedy=f"Known are {', '.join(sorted(CODE_NAMES))}.",
        )
    for template in templates.by_key.values():
        _check_milestone(template)
    return DeliveryRules(
        policy=load_delivery_policy(mappings / "policies" / "delivery.yaml"),
        templates=templates,
        numbers=load_number_policy(mappings / "policies" / "number_ranges.yaml"),
        payers=payers,
        routing=load_routing(mappings / "policies" / "billing_routing.yaml"),
    )


def _check_milestone(template: WorkOrderTemplate) -> None:
    milestone = BILLING_MILESTONE[template.role]
    for task in template.tasks:
        is_milestone = task.milestone_of is milestone
        moves_billing = task.code in MILESTONE_CODE
        if moves_billing and not is_milestone:
            raise MisplacedCode(
                f"Template '{template.key}': '{task.name}' runs {task.code} "
                f"without being the milestone '{milestone}'."
            )
        if is_milestone and task.kind is TaskKind.CODE and not moves_billing:
            raise MisplacedCode(
                f"Template '{template.key}': '{task.name}' is the milestone '{milestone}' "
                f"but {task.code} moves no billing."
            )
        if is_milestone and task.kind is TaskKind.NOTIFY:
            raise MisplacedCode(f"Template '{template.key}': a notice cannot be '{milestone}'.")
