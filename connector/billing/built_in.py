"""The built-in billing system behind the boundary: commands become charges."""

from datetime import datetime

from sqlalchemy import Connection

from connector.billing.requests import (
    ChangeRequest,
    ChargeRequest,
    EndRequest,
    StartRequest,
    payer_of,
)
from connector.catalog.pricing.document import optional_pricing
from connector.charging.charges import OneTimeCharge, charge_one_time
from connector.charging.early_fee import charge_early_termination
from connector.charging.recurring import (
    change_recurring,
    end_recurring,
    start_recurring,
)
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
        """Begin the recurring charge of a service; return its id."""
        return start_recurring(
            tx=tx,
            service_id=request.service_id,
            order_line_id=request.order_line_id,
            on=request.on,
            now=now,
        )

    def change(self, *, tx: Connection, request: ChangeRequest, now: datetime) -> int:
        """Go on with another recurring charge; return its id."""
        price = RecurringPrice(
            request.product_id,
            request.quantity,
            request.mr_price,
            request.mr_cost,
            pricing=optional_pricing(request.pricing),
        )
        return change_recurring(
            tx=tx,
            service_id=request.service_id,
            order_line_id=request.order_line_id,
            on=request.on,
            price=price,
            now=now,
        )

    def end(self, *, tx: Connection, request: EndRequest, now: datetime) -> bool:
        """End the recurring charges; return whether any ended.

        What leaving the contract early costs is charged once.
        """
        is_ended = end_recurring(
            tx=tx,
            service_id=request.service_id,
            order_line_id=request.order_line_id,
            on=request.on,
            now=now,
        )
        charge_early_termination(
            tx=tx,
            service_id=request.service_id,
            order_line_id=request.order_line_id,
            on=request.on,
            now=now,
        )
        return is_ended

    def charge_once(self, *, tx: Connection, request: ChargeRequest, now: datetime) -> int:
        """Make the one-time charge; return its id.

        Raises:
            ForeignCurrency: The billing account is kept in another currency.
        """
        owner = payer_of(tx, request)
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
        return charge_one_time(tx=tx, sold=sold, brand_id=owner.brand_id, now=now)
