"""What a service of the billing world goes through without becoming another."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from connector.billing import commands
from connector.billing.order_bill import bill_order
from connector.billing.requests import AddOnTerms
from connector.store.engine import Store
from connector.store.tables.inventory import service
from connector.store.tables.parties import billing_account


def at(day: date) -> datetime:
    return datetime.combine(day, time(9), tzinfo=UTC)


class GoingOn:
    """The acts of the billing boundary on a running service, each by a new order line."""

    store: Store

    def line_of(self, service_id: int) -> int:
        raise NotImplementedError

    def order_line(self, payer_id: int, product_id: int) -> int:
        raise NotImplementedError

    def site(self, tx: Connection, account_id: int, site: str, country: str) -> int | None:
        raise NotImplementedError

    def add(
        self,
        service_id: int,
        name: str,
        product_id: int,
        on: date,
        price: str,
        *,
        quantity: str = "1",
        pricing: dict[str, Any] | None = None,
        line: int | None = None,
    ) -> int:
        line = line or self.line_of(service_id)
        with self.store.transaction() as tx:
            return commands.start_add_on_billing(
                tx=tx,
                service_id=service_id,
                order_line_id=line,
                on=on,
                add_on=AddOnTerms(
                    name, product_id, Decimal(quantity), Decimal(price), pricing=pricing
                ),
                now=at(on),
            )

    def remove(self, service_id: int, name: str, on: date, line: int | None = None) -> bool:
        line = line or self.line_of(service_id)
        with self.store.transaction() as tx:
            return commands.end_add_on_billing(
                tx=tx, service_id=service_id, order_line_id=line, on=on, name=name, now=at(on)
            )

    def move(
        self, service_id: int, on: date, site: str, country: str = "", line: int | None = None
    ) -> int:
        line = line or self.line_of(service_id)
        with self.store.transaction() as tx:
            account_id = tx.scalar(select(service.c.account_id).where(service.c.id == service_id))
            assert account_id is not None
            place = self.site(tx, account_id, site, country)
            tx.execute(service.update().where(service.c.id == service_id).values(location_id=place))
            return commands.move_service_billing(
                tx=tx,
                service_id=service_id,
                order_line_id=line,
                on=on,
                location_id=place,
                now=at(on),
            )

    def suspend(self, service_id: int, on: date, line: int | None = None) -> int:
        line = line or self.line_of(service_id)
        with self.store.transaction() as tx:
            return commands.suspend_service_billing(
                tx=tx, service_id=service_id, order_line_id=line, on=on, now=at(on)
            )

    def resume(self, service_id: int, on: date, line: int | None = None) -> int:
        line = line or self.line_of(service_id)
        with self.store.transaction() as tx:
            return commands.resume_service_billing(
                tx=tx, service_id=service_id, order_line_id=line, on=on, now=at(on)
            )

    def transfer(self, service_id: int, on: date, to: int, line: int | None = None) -> int:
        line = line or self.line_of(service_id)
        with self.store.transaction() as tx:
            made = commands.transfer_service_billing(
                tx=tx,
                service_id=service_id,
                order_line_id=line,
                on=on,
                billing_account_id=to,
                now=at(on),
            )
            tx.execute(
                service.update().where(service.c.id == service_id).values(billing_account_id=to)
            )
            return made

    def give_back(
        self, payer_id: int, product_id: int, on: date, *, quantity: str = "1", line: int = 0
    ) -> int:
        line = line or self.order_line(payer_id, product_id)
        with self.store.transaction() as tx:
            currency = tx.scalar(
                select(billing_account.c.currency).where(billing_account.c.id == payer_id)
            )
            assert currency is not None
            return commands.give_back_once(
                tx=tx,
                billing_account_id=payer_id,
                order_line_id=line,
                product_id=product_id,
                quantity=Decimal(quantity),
                currency=currency,
                on=on,
                now=at(on),
            )

    def bill_order(self, payer_id: int, on: date) -> tuple[str, ...]:
        return bill_order(store=self.store, billing_account_id=payer_id, on=on, now=at(on))
