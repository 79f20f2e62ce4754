"""The built-in billing system behind the boundary: commands become charges."""

from datetime import datetime

from sqlalchemy import Connection

from connector.billing.requests import (
    AddOnTerms,
    ChangeOf,
    ChangeRequest,
    ChargeRequest,
    EndRequest,
    StartRequest,
    payer_of,
)
from connector.catalog.pricing.document import optional_pricing
from connector.charging.add_ons import AddOn, change_add_on, end_add_on, start_add_on
from connector.charging.charges import OneTimeCharge, charge_one_time
from connector.charging.early_fee import charge_early_termination
from connector.charging.going_on import (
    hand_over_recurring,
    move_recurring,
    pause_recurring,
    resume_recurring,
    take_over_recurring,
)
from connector.charging.recurring import (
    change_recurring,
    end_recurring,
    start_recurring,
)
from connector.charging.returns import Return, return_once
from connector.charging.shares import RecurringPrice
from connector.parties.billing_accounts import PayerTerms, open_billing_account


class BuiltInBilling:
    """Bills by charges, bill runs and the journal of the hub itself."""

    def open_account(
        self, *, tx: Connection, account_id: int, currency: str, terms: PayerTerms, now: datetime
    ) -> int:
        """Return the customer's billing account in this currency, opening it when there is none."""
        return open_billing_account(
            tx=tx, account_id=account_id, currency=currency, terms=terms, now=now
        )

    def start(self, *, tx: Connection, request: StartRequest, now: datetime) -> int:
        """Begin the recurring charge of a service or add-on, or take it over; return its id."""
        if request.add_on is not None:
            add_on = _add_on(request, request.add_on.name)
            return start_add_on(tx=tx, add_on=add_on, price=_price(request.add_on), now=now)
        if request.payer_id is not None:
            taken = take_over_recurring(
                tx=tx,
                service_id=request.service_id,
                order_line_id=request.order_line_id,
                payer_id=request.payer_id,
                now=now,
            )
            if taken is not None:
                return taken
        return start_recurring(
            tx=tx,
            service_id=request.service_id,
            order_line_id=request.order_line_id,
            on=request.on,
            now=now,
            payer_id=request.payer_id,
        )

    def change(self, *, tx: Connection, request: ChangeRequest, now: datetime) -> int:
        """Go on with another recurring charge; return its id, or that of the one that stands."""
        if request.add_on:
            add_on = _add_on(request, request.add_on)
            return change_add_on(tx=tx, add_on=add_on, price=_price(request), now=now)
        if request.what is not ChangeOf.TERMS:
            return _go_on(tx, request, now)
        return change_recurring(
            tx=tx,
            service_id=request.service_id,
            order_line_id=request.order_line_id,
            on=request.on,
            price=_price(request),
            now=now,
        )

    def end(self, *, tx: Connection, request: EndRequest, now: datetime) -> bool:
        """End the recurring charges, or those of an add-on; return whether any ended.

        What leaving the contract early costs is charged once.
        """
        if request.add_on:
            return end_add_on(tx=tx, add_on=_add_on(request, request.add_on), now=now)
        if request.is_handed_over:
            return hand_over_recurring(
                tx=tx,
                service_id=request.service_id,
                order_line_id=request.order_line_id,
                on=request.on,
                now=now,
            )
        is_ended = end_recurring(
            tx=tx,
            service_id=request.service_id,
            order_line_id=request.order_line_id,
            on=request.on,
            now=now,
        )
        if not request.is_fee_waived:
            charge_early_termination(
                tx=tx,
                service_id=request.service_id,
                order_line_id=request.order_line_id,
                on=request.on,
                now=now,
            )
        return is_ended

    def charge_once(self, *, tx: Connection, request: ChargeRequest, now: datetime) -> int:
        """Make the one-time charge, or make less of one that was sold; return its id.

        Raises:
            ForeignCurrency: The billing account is kept in another currency.
            NotSold: More comes back than was sold.
        """
        owner = payer_of(tx, request)
        if request.is_return:
            back = Return(
                billing_account_id=request.billing_account_id,
                product_id=request.product_id,
                quantity=request.quantity,
                order_line_id=request.order_line_id,
                on=request.on,
                service_id=request.service_id,
            )
            return return_once(tx=tx, back=back, now=now)
        sold = OneTimeCharge(
            billing_account_id=request.billing_account_id,
            order_line_id=request.order_line_id,
            service_id=request.service_id,
            product_id=request.product_id,
            description=request.description,
            quantity=request.quantity,
            unit_price=request.unit_price,
            unit_cost=request.unit_cost,
            currency=request.currency,
            on=request.on,
        )
        purpose = f"once:{request.add_on}" if request.add_on else "once"
        return charge_one_time(tx=tx, sold=sold, brand_id=owner.brand_id, now=now, purpose=purpose)


def _price(terms: AddOnTerms | ChangeRequest) -> RecurringPrice:
    return RecurringPrice(
        terms.product_id,
        terms.quantity,
        terms.mr_price,
        terms.mr_cost,
        pricing=optional_pricing(terms.pricing),
    )


def _add_on(request: StartRequest | ChangeRequest | EndRequest, name: str) -> AddOn:
    assert request.order_line_id is not None  # only a service's own price changes without one
    return AddOn(request.service_id, name, request.order_line_id, request.on)


def _go_on(tx: Connection, request: ChangeRequest, now: datetime) -> int:
    """Let a service go on as it is, at another place or with a rest; return a charge, or 0."""
    service_id, line, on = request.service_id, request.order_line_id, request.on
    assert line is not None  # only a service's own price changes without one
    if request.what is ChangeOf.PLACE:
        return move_recurring(
            tx=tx,
            service_id=service_id,
            order_line_id=line,
            on=on,
            location_id=request.location_id,
            now=now,
        )
    act = pause_recurring if request.what is ChangeOf.SUSPENDED else resume_recurring
    return act(tx=tx, service_id=service_id, order_line_id=line, on=on, now=now)
