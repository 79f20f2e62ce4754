"""Charges what leaving a contract early costs, when the product has bands for it."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import structlog
from sqlalchemy import Connection, text

from connector.charging.charges import OneTimeCharge, charge_one_time
from connector.charging.early_termination import Band, EarlyTermination, early_termination_fee
from connector.charging.queries import RecurringCharge, recurring_of
from connector.kernel.money import rounded_to

log = structlog.get_logger(__name__)

EXACT_PLACES = 9
_ONE_DAY = timedelta(days=1)
_CONTRACT = text(
    "SELECT s.brand_id, s.billing_account_id, s.product_id, s.currency, s.term_months, "
    "       s.current_term_start_on, p.early_termination, p.display_name "
    "  FROM service s JOIN product p ON p.id = s.product_id WHERE s.id = :service_id"
)


def read_early_termination(kept: Mapping[str, Any]) -> EarlyTermination:
    """Return the bands as the catalogue keeps them.

    Raises:
        InvalidInput: They do not begin with the first month, or go back.
    """
    cap = kept.get("cap")
    return EarlyTermination(
        tuple(Band(int(one["from_month"]), Decimal(one["percent"])) for one in kept["bands"]),
        Decimal(kept.get("flat", 0)),
        None if cap is None else Decimal(cap),
    )


def charge_early_termination(
    *, tx: Connection, service_id: int, order_line_id: int, on: date, now: datetime
) -> int | None:
    """Charge what the rest of a term costs when a service ends on a day; return the charge's id.

    The price that was in force on the day before counts. Nothing is due without a term, without
    bands, or once the term is over; the same order line again changes nothing.
    """
    contract = tx.execute(_CONTRACT, {"service_id": service_id}).one()
    if contract.early_termination is None or not contract.term_months:
        return None
    if contract.current_term_start_on is None:
        return None
    fee = early_termination_fee(
        rule=read_early_termination(contract.early_termination),
        monthly=_monthly(recurring_of(tx, service_id=service_id), on - _ONE_DAY),
        term_from=contract.current_term_start_on,
        term_months=contract.term_months,
        ends_on=on,
    )
    if not fee:
        return None
    sold = OneTimeCharge(
        billing_account_id=contract.billing_account_id,
        order_line_id=order_line_id,
        service_id=service_id,
        product_id=contract.product_id,
        description=f"{contract.display_name}, early termination",
        quantity=Decimal(1),
        unit_price=rounded_to(fee, EXACT_PLACES),
        unit_cost=Decimal(0),
        currency=contract.currency,
        on=on,
    )
    charge_id = charge_one_time(
        tx=tx, sold=sold, brand_id=contract.brand_id, purpose="early-termination", now=now
    )
    log.info("charge.early_termination", service_id=service_id, charge_id=charge_id, on=str(on))
    return charge_id


def _monthly(charges: Sequence[RecurringCharge], on: date) -> Fraction:
    return sum(
        (
            one.per_period * one.policy.every.per_year / 12
            for one in charges
            if not one.add_on and one.starts_on <= on and (one.ends_on is None or on < one.ends_on)
        ),
        Fraction(0),
    )
