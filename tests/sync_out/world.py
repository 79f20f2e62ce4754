"""A small customer in the hub, written straight into the tables."""

from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg.types.json import Jsonb
from sqlalchemy import Connection, text

from connector.store.engine import driver_connection

NOW = datetime(2026, 7, 1, 9, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class World:
    """The ids of what was made."""

    brand: int
    account: int
    billing_account: int
    product: int
    location: int
    order: int
    line: int
    service: int
    work_order: int
    tasks: tuple[int, int]
    invoice: int
    payment: int


def insert(tx: Connection, table: str, **values: object) -> int:
    """Insert a row and return its id."""
    values = {k: Jsonb(v) if isinstance(v, dict | list) else v for k, v in values.items()}
    names = ", ".join(values)
    marks = ", ".join(f"%({name})s" for name in values)
    with driver_connection(tx).cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks}) RETURNING id".encode(), values
        )
        row = cursor.fetchone()
    assert row
    return int(str(row[0]))


def make_account(tx: Connection, *, sfid: str, name: str = "Dental Group") -> tuple[int, int, int]:
    """Make a brand, an account and its billing account; return their ids."""
    brand = tx.execute(text("SELECT id FROM brand WHERE key = 'default'")).scalar()
    if brand is None:
        brand = insert(
            tx, "brand", key="default", name="House", legal_name="House Ltd", invoice_prefix="INV"
        )
    account = insert(tx, "account", brand_id=brand, sfid=sfid, kind="business", name=name)
    billing_account = insert(
        tx,
        "billing_account",
        brand_id=brand,
        account_id=account,
        number=f"BA-{account:06d}",
        currency="EUR",
        opened_at=NOW,
    )
    return int(brand), account, billing_account


def make_world(tx: Connection, *, account_sfid: str, opportunity_sfid: str | None = None) -> World:
    """Make a customer with one delivered service, one paid invoice of two lines."""
    brand, account, billing_account = make_account(tx, sfid=account_sfid)
    product = insert(
        tx, "product", brand_id=brand, key="SEAT", name="Calling seat",
        display_name="Calling seat", kind="Service", vendor="Vendor A",
    )  # fmt: skip
    price = insert(
        tx, "price_entry", brand_id=brand, product_id=product, request_type="NEW",
        term_months=24, currency="EUR", mr_price="12.50", nr_price="99", valid_from="2026-01-01",
    )  # fmt: skip
    location = insert(
        tx, "location", brand_id=brand, account_id=account, name="Main Street 1, Ulm",
        street="Main Street 1", city="Ulm", country="DE", normalized_key="ulm|mainstreet1",
    )  # fmt: skip
    order = insert(
        tx, "customer_order", brand_id=brand, number="ORD-000001", account_id=account,
        billing_account_id=billing_account, origination="Opportunity",
        origin_key=f"opportunity:{opportunity_sfid or account_sfid}",
        opportunity_sfid=opportunity_sfid, currency="EUR", created_at=NOW, started_at=NOW,
    )  # fmt: skip
    line = insert(
        tx, "order_line", order_id=order, sequence=1, request_type="NEW", product_id=product,
        price_entry_id=price, location_id=location, quantity="5", mr_price="12.50", nr_price="99",
        term_months=24,
    )  # fmt: skip
    service = insert(
        tx, "service", brand_id=brand, number="SRV-000001", account_id=account,
        billing_account_id=billing_account, product_id=product, location_id=location,
        created_by_line_id=line, state="In Service", quantity="5", mr_price="12.50",
        currency="EUR", service_start_on="2026-06-16",
    )  # fmt: skip
    work_order = insert(
        tx, "work_order", number="WO-000001", order_line_id=line, service_id=service,
        role="Deliver", template="deliver", created_at=NOW,
    )  # fmt: skip
    first = insert(
        tx, "task", number="TSK-000001", work_order_id=work_order, sequence=1, name="Order",
        kind="Manual", queue="Provisioning", state="Ready", ready_at=NOW,
    )  # fmt: skip
    second = insert(
        tx, "task", number="TSK-000002", work_order_id=work_order, sequence=2, name="Turn up",
        kind="Milestone", milestone_of="Billing start",
    )  # fmt: skip
    insert(tx, "task_dependency", predecessor_id=first, successor_id=second)
    invoice = make_invoice(
        tx, brand=brand, billing_account=billing_account, number="INV-1", lines=2, service=service
    )
    payment = insert(
        tx, "payment", brand_id=brand, number="PAY-000001", source="csv", reference="T-77",
        billing_account_id=billing_account, received_on="2026-07-10", amount="20.00",
        currency="EUR", created_at=NOW,
    )  # fmt: skip
    insert(tx, "allocation", invoice_id=invoice, payment_id=payment, amount="20.00", applied_at=NOW)
    return World(
        brand, account, billing_account, product, location, order, line, service, work_order,
        (first, second), invoice, payment,
    )  # fmt: skip


def make_invoice(
    tx: Connection,
    *,
    brand: int,
    billing_account: int,
    number: str,
    lines: int,
    service: int | None = None,
) -> int:
    """Make a finalised invoice: lines of 10.00 each, 19 % tax."""
    subtotal, tax = 10 * lines, f"{1.9 * lines:.2f}"
    invoice = insert(
        tx, "invoice", brand_id=brand, billing_account_id=billing_account, run_key=number,
        currency="EUR", invoice_on="2026-07-01", due_on="2026-07-15", period_start="2026-06-01",
        period_end="2026-07-01", subtotal=subtotal, tax=tax, total=f"{subtotal + 1.9 * lines:.2f}",
        created_at=NOW,
    )  # fmt: skip
    for number_of_line in range(1, lines + 1):
        insert(
            tx, "invoice_line", invoice_id=invoice, line_no=number_of_line, service_id=service,
            kind="Recurring", description="Calling seat, July", quantity="1",
            unit_price="10.000000001", amount="10", tax_category="standard", tax_percent="19",
            tax_amount="1.9", service_from="2026-07-01", service_to="2026-07-31",
            accounting_code="4000", explanation={"days": 31},
        )  # fmt: skip
    finalise(tx, invoice, number=number)
    return invoice


def finalise(tx: Connection, invoice: int, *, number: str) -> None:
    """Turn a draft into a finalised document."""
    tx.execute(
        text(
            "UPDATE invoice SET state = 'finalised', series = 'INV', number = :number, "
            "posted_at = :now WHERE id = :id"
        ),
        {"number": number, "now": NOW, "id": invoice},
    )
