"""A small world for billing: payers, products and services, moved by the billing commands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import count
from typing import Any

from going_on_world import GoingOn, at
from sqlalchemy import Connection, delete, func, insert, select, text

from connector.billing import commands
from connector.billing.bill_run import BillRunReport, run_cycle
from connector.charging.charges import PricedUnits, UsageCharge, upsert_usage_charges
from connector.charging.recurring import start_recurring
from connector.inventory.services import renew_term, term_from
from connector.parties.billing_accounts import PayerTerms
from connector.store.engine import Store
from connector.store.tables.catalog import (
    bundle_part,
    discount,
    product,
    tax_rate,
    vendor_rule,
)
from connector.store.tables.inventory import service
from connector.store.tables.ordering import customer_order, order_line
from connector.store.tables.parties import account, billing_account, brand_table, location
from connector.store.tables.usage import rating_run, usage_summary

EPOCH = date(2000, 1, 1)


@dataclass
class BillingWorld(GoingOn):
    """What tests arrange bills with; everything goes through the real commands and bill run."""

    store: Store
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    products: dict[str, int] = field(default_factory=dict)
    brand_id: int = 0
    order_id: int = 0

    def __post_init__(self) -> None:
        with self.store.transaction() as tx:
            self.brand_id = _insert(
                tx,
                brand_table,
                key="rhein",
                name="Rhein Telecom",
                legal_name="Rhein Telecom GmbH",
                address="Hafenstrasse 1, 50667 Köln",
                tax_number="DE123456789",
                email="rechnung@rhein-telecom.example",
                remit_to="IBAN DE02 1203 0000 0000 2020 51",
                invoice_prefix="RT",
                footer="Managing director: Maria Fluss",
            )

    def tax(
        self,
        percent: str,
        country: str = "DE",
        category: str = "standard",
        *,
        customer: str = "any",
        treatment: str = "exclusive",
    ) -> None:
        with self.store.transaction() as tx:
            _insert(
                tx,
                tax_rate,
                country=country,
                category=category,
                percent=Decimal(percent),
                customer=customer,
                treatment=treatment,
                valid_from=EPOCH,
            )

    def payer(
        self,
        *,
        country: str | None = "DE",
        currency: str = "EUR",
        anchor_day: int = 1,
        is_tax_exempt: bool = False,
        name: str = "",
        kind: str = "business",
        cycle: str = "month",
        payment_days: int = 14,
    ) -> int:
        n = next(self.numbers)
        with self.store.transaction() as tx:
            account_id = _insert(
                tx,
                account,
                brand_id=self.brand_id,
                sfid=f"001{n:015}",
                kind=kind,
                name=name or f"Customer {n}",
                street="Rheinallee 12",
                postal_code="55116",
                city="Mainz",
                country=country,
                currency=currency,
                is_tax_exempt=is_tax_exempt,
            )
            payer_id = commands.open_account(
                tx=tx,
                account_id=account_id,
                currency=currency,
                terms=PayerTerms(),
                now=at(EPOCH),
            )
            tx.execute(
                billing_account.update()
                .where(billing_account.c.id == payer_id)
                .values(anchor_day=anchor_day, cycle=cycle, payment_terms_days=payment_days)
            )
            return payer_id

    def product(
        self,
        key: str,
        *,
        name: str = "",
        tax_category: str = "standard",
        vendor: str = "",
        early_termination: dict[str, Any] | None = None,
        commitment: dict[str, Any] | None = None,
    ) -> int:
        if key not in self.products:
            with self.store.transaction() as tx:
                self.products[key] = _insert(
                    tx,
                    product,
                    brand_id=self.brand_id,
                    key=key,
                    name=name or key,
                    display_name=name or key,
                    kind="Service",
                    vendor=vendor,
                    early_termination=early_termination,
                    commitment=commitment,
                    tax_category=tax_category,
                    accounting_code="4400",
                )
        return self.products[key]

    def bundle(self, key: str, parts: Mapping[str, Decimal]) -> None:
        with self.store.transaction() as tx:
            tx.execute(
                insert(bundle_part),
                [
                    {
                        "product_id": self.products[key],
                        "part_id": self.products[part],
                        "position": position,
                        "weight": weight,
                    }
                    for position, (part, weight) in enumerate(parts.items())
                ],
            )

    def vendor_rule(self, vendor: str, min_services: int, percent: Decimal) -> None:
        with self.store.transaction() as tx:
            tx.execute(
                insert(vendor_rule).values(
                    vendor=vendor, min_services=min_services, percent=percent, valid_from=EPOCH
                )
            )

    def offer(self, key: str, **terms: Any) -> int:
        """Enter a discount of the catalogue."""
        values = {"name": key, "products": [], "customers": [], "valid_from": EPOCH} | terms
        with self.store.transaction() as tx:
            return _insert(tx, discount, key=key, **values)

    def withdraw(self, discount_id: int) -> None:
        """Take a discount out of the catalogue; whoever was granted it keeps it."""
        with self.store.transaction() as tx:
            tx.execute(delete(discount).where(discount.c.id == discount_id))

    def order_line(self, payer_id: int, product_id: int) -> int:
        """Return a new line of an order: every command of the boundary comes from one."""
        n = next(self.numbers)
        with self.store.transaction() as tx:
            account_id = tx.scalar(
                select(billing_account.c.account_id).where(billing_account.c.id == payer_id)
            )
            order_id = _insert(
                tx,
                customer_order,
                brand_id=self.brand_id,
                number=f"O-{n}",
                account_id=account_id,
                origination="Manual",
                origin_key=f"test:{n}",
                currency="EUR",
                created_at=at(EPOCH),
            )
            return _insert(
                tx,
                order_line,
                order_id=order_id,
                sequence=1,
                request_type="NEW",
                product_id=product_id,
            )

    def service(
        self,
        payer_id: int,
        product_id: int,
        price: str,
        *,
        quantity: str = "1",
        cost: str = "0",
        site: str = "",
        country: str = "",
        pricing: dict[str, Any] | None = None,
    ) -> int:
        n = next(self.numbers)
        with self.store.transaction() as tx:
            owner = tx.execute(
                select(billing_account.c.account_id, billing_account.c.currency).where(
                    billing_account.c.id == payer_id
                )
            ).one()
            return _insert(
                tx,
                service,
                brand_id=self.brand_id,
                number=f"SVC-{n:06}",
                account_id=owner.account_id,
                billing_account_id=payer_id,
                product_id=product_id,
                location_id=self.site(tx, owner.account_id, site, country),
                created_by_line_id=n,
                quantity=Decimal(quantity),
                mr_price=Decimal(price),
                mr_cost=Decimal(cost),
                pricing=pricing,
                currency=owner.currency,
            )

    def start(self, service_id: int, on: date, line: int | None = None) -> int:
        line = line or self.line_of(service_id)
        with self.store.transaction() as tx:
            return commands.start_service_billing(
                tx=tx, service_id=service_id, order_line_id=line, on=on, now=at(on)
            )

    def start_discounted(self, service_id: int, on: date, percent: str) -> int:
        with self.store.transaction() as tx:
            return start_recurring(
                tx=tx,
                service_id=service_id,
                order_line_id=self.line_of(service_id),
                on=on,
                now=at(on),
                discount_percent=Decimal(percent),
            )

    def change(
        self,
        service_id: int,
        on: date,
        price: str,
        *,
        quantity: str = "1",
        product_id: int | None = None,
        line: int | None = None,
        pricing: dict[str, Any] | None = None,
    ) -> int:
        line = line or self.line_of(service_id)
        with self.store.transaction() as tx:
            standing = tx.scalar(select(service.c.product_id).where(service.c.id == service_id))
            assert standing is not None
            return commands.change_service_billing(
                tx=tx,
                service_id=service_id,
                order_line_id=line,
                on=on,
                quantity=Decimal(quantity),
                mr_price=Decimal(price),
                mr_cost=Decimal(0),
                product_id=product_id or standing,
                pricing=pricing,
                now=at(on),
            )

    def cancel(
        self, service_id: int, on: date, line: int | None = None, *, is_fee_waived: bool = False
    ) -> bool:
        line = line or self.line_of(service_id)
        with self.store.transaction() as tx:
            return commands.end_service_billing(
                tx=tx,
                service_id=service_id,
                order_line_id=line,
                on=on,
                now=at(on),
                is_fee_waived=is_fee_waived,
            )

    def term(self, service_id: int, on: date, months: int) -> None:
        with self.store.transaction() as tx:
            tx.execute(
                service.update()
                .where(service.c.id == service_id)
                .values(
                    service_start_on=func.coalesce(service.c.service_start_on, on),
                    **term_from(on, months),
                    term_months=months,
                )
            )

    def renew(self, service_id: int, on: date, months: int) -> None:
        with self.store.transaction() as tx:
            tx.execute(
                service.update()
                .where(service.c.id == service_id)
                .values(state="In Service", service_start_on=service.c.current_term_start_on)
            )
            renew_term(tx=tx, service_id=service_id, on=on, months=months)

    def use(
        self,
        service_id: int,
        usage_class: str,
        period: tuple[date, date],
        *,
        amount: Decimal,
        units: PricedUnits | None,
    ) -> None:
        """Say what the usage of a period comes to now, as rating does."""
        row = self.one(
            "SELECT currency, (SELECT id FROM usage_summary u WHERE u.service_id = s.id "
            "   AND u.usage_class = :usage_class AND u.period_start = :start) AS summary_id "
            "  FROM service s WHERE id = :id",
            id=service_id,
            usage_class=usage_class,
            start=period[0],
        )
        summary_id = row.summary_id or self.usage_summary(
            service_id, period[0], period[1], usage_class=usage_class
        )
        charge = UsageCharge(
            summary_id=summary_id,
            service_id=service_id,
            usage_class=usage_class,
            period_start=period[0],
            period_end=period[1],
            amount=amount,
            cost=Decimal(0),
            currency=row.currency,
            description=usage_class,
            units=units,
        )
        with self.store.transaction() as tx:
            upsert_usage_charges(tx=tx, summaries=[charge], now=at(period[0]))

    def sell(
        self,
        payer_id: int,
        product_id: int,
        price: str,
        on: date,
        *,
        quantity: str,
        service: int | None = None,
    ) -> int:
        line = self.order_line(payer_id, product_id)
        with self.store.transaction() as tx:
            currency = tx.scalar(
                select(billing_account.c.currency).where(billing_account.c.id == payer_id)
            )
            assert currency is not None
            return commands.charge_once(
                tx=tx,
                billing_account_id=payer_id,
                order_line_id=line,
                service_id=service,
                product_id=product_id,
                description="",
                quantity=Decimal(quantity),
                unit_price=Decimal(price),
                unit_cost=Decimal(0),
                currency=currency,
                on=on,
                now=at(on),
            )

    def usage_summary(
        self, service_id: int, start: date, end: date, *, usage_class: str = "national"
    ) -> int:
        with self.store.transaction() as tx:
            run = _insert(
                tx,
                rating_run,
                period_start=start,
                period_end=end,
                snapshot={},
                input_hash=f"{service_id}/{start}",
                records=20,
                unrated=0,
                published_at=at(end),
            )
            return _insert(
                tx,
                usage_summary,
                brand_id=self.brand_id,
                service_id=service_id,
                usage_class=usage_class,
                period_start=start,
                period_end=end,
                unit="s",
                units=Decimal(1200),
                rated_amount=Decimal(0),
                cost_amount=Decimal(0),
                currency="EUR",
                records=20,
                rating_run_id=run,
                derivation={},
            )

    def bill(self, day: date, *, keep_drafts: bool = False) -> BillRunReport:
        return run_cycle(store=self.store, billed_to=day, now=at(day), keep_drafts=keep_drafts)

    def documents(self) -> list[dict[str, Any]]:
        """Return every document with its lines, as a finance person would list them."""
        with self.store.read() as tx:
            lines: dict[int, list[dict[str, Any]]] = {}
            for row in tx.execute(
                text("SELECT * FROM invoice_line ORDER BY invoice_id, line_no")
            ).mappings():
                lines.setdefault(row["invoice_id"], []).append(dict(row))
            return [
                dict(row) | {"lines": lines.get(row["id"], [])}
                for row in tx.execute(
                    text(
                        "SELECT i.*, b.paid, b.credited, b.balance, b.status, b.paid_on "
                        "FROM invoice i JOIN v_invoice_balance b ON b.invoice_id = i.id "
                        "ORDER BY i.id"
                    )
                ).mappings()
            ]

    def one(self, sql: str, **values: Any) -> Any:
        with self.store.read() as tx:
            return tx.execute(text(sql), values).one()

    def line_of(self, service_id: int) -> int:
        row = self.one(
            "SELECT billing_account_id, product_id FROM service WHERE id = :id", id=service_id
        )
        return self.order_line(row.billing_account_id, row.product_id)

    def site(self, tx: Connection, account_id: int, site: str, country: str) -> int | None:
        if not site and not country:
            return None
        key = f"{site}/{country}".lower()
        found = tx.scalar(select(location.c.id).where(location.c.normalized_key == key))
        return found or _insert(
            tx,
            location,
            brand_id=self.brand_id,
            account_id=account_id,
            name=site,
            country=country,
            normalized_key=key,
        )


def _insert(tx: Connection, table: Any, **values: Any) -> int:
    return int(tx.execute(insert(table).values(**values).returning(table.c.id)).scalar_one())
