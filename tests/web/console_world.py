"""An account with a story to look at: sold, delivered, used, billed and paid."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from billing_world import BillingWorld, at
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from connector.billing.payments import PaymentNotice, record_payment
from connector.config import Settings
from connector.store.engine import Store
from connector.web.app import close_app, create_app

JUNE, JULY = date(2026, 6, 1), date(2026, 7, 1)
PDF = b"%PDF-1.7 an invoice"


class Queue:
    def nudge(self, name: str) -> None: ...


class Org:
    def identity(self) -> str:
        return "00D000000000062EAA"


@dataclass
class App:
    """What the web room is given."""

    store: Store
    settings: Settings
    queue: Queue = field(default_factory=Queue)
    org: Org = field(default_factory=Org)


@dataclass
class Visitor:
    """Somebody with a browser on this machine, or elsewhere."""

    client: FlaskClient
    address: str = "127.0.0.1"
    host: str = "localhost:8080"

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> TestResponse:
        return self.client.get(
            path,
            base_url=f"http://{self.host}",
            headers=dict(headers or {}),
            environ_base={"REMOTE_ADDR": self.address},
        )

    def post(self, path: str, form: Mapping[str, str]) -> TestResponse:
        return self.client.post(
            path,
            base_url=f"http://{self.host}",
            data=dict(form),
            environ_base={"REMOTE_ADDR": self.address},
        )

    def page(self, path: str) -> str:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text


class Door:
    """The web application of one test, with as many visitors as it needs."""

    def __init__(self, store: Store, web: Mapping[str, Any] | None = None) -> None:
        settings = Settings.model_validate({"web": {"port": 0} | dict(web or {})})
        self.flask = create_app(App(store, settings))

    def visitor(self, *, address: str = "127.0.0.1", host: str = "localhost:8080") -> Visitor:
        return Visitor(self.flask.test_client(), address, host)

    def close(self) -> None:
        close_app(self.flask)


class ConsoleWorld(BillingWorld):
    """A billing world whose accounts also have orders, usage and a CRM."""

    def do(self, sql: str, **values: Any) -> Any:
        with self.store.transaction() as tx:
            result = tx.execute(text(sql), values)
            return result.scalar() if result.returns_rows else None

    def account_of(self, payer: int) -> int:
        return int(
            self.one("SELECT account_id FROM billing_account WHERE id = :id", id=payer).account_id
        )

    def deliver(self, payer: int, *, price: str = "12.50", quantity: str = "24") -> int:
        """Sell seats, deliver them on 16 June and return the service."""
        service = self.service(
            payer, self.product("seat", name="Calling seat"), price, quantity=quantity, site="Mainz"
        )
        line = self.order_line(payer, self.product("seat"))
        self.do(
            "UPDATE customer_order SET opportunity_sfid = '006000000000001AAA', started_at = :now "
            "WHERE id = (SELECT order_id FROM order_line WHERE id = :line)",
            line=line,
            now=at(JUNE),
        )
        self.do(
            "UPDATE service SET state = 'In Service', service_start_on = '2026-06-16' "
            "WHERE id = :id",
            id=service,
        )
        work_order = self.do(
            "INSERT INTO work_order (number, order_line_id, service_id, role, template, created_at)"
            " VALUES ('WO-1', :line, :service, 'Deliver', 'deliver-voice', :now) RETURNING id",
            line=line,
            service=service,
            now=at(JUNE),
        )
        for sequence, name, state in ((1, "Ship phones", "Completed"), (2, "Test calls", "Ready")):
            self.task(work_order, sequence=sequence, name=name, state=state)
        self.start(service, date(2026, 6, 16), line)
        return service

    def task(
        self, work_order: int, *, sequence: int, name: str, state: str, error: str | None = None
    ) -> int:
        return int(
            self.do(
                "INSERT INTO task (number, work_order_id, sequence, name, kind, state, queue, "
                "ready_at, error_message) VALUES (:number, :work_order, :sequence, :name, "
                "'Manual', :state, 'Field', :now, :error) RETURNING id",
                number=f"T-{work_order}-{sequence}",
                work_order=work_order,
                sequence=sequence,
                name=name,
                state=state,
                now=at(JUNE),
                error=error,
            )
        )

    def use(self, service: int) -> int:
        """Rate June's calls of a service and return the summary."""
        run = self.do(
            "INSERT INTO rating_run (period_start, period_end, input_hash, snapshot, records, "
            "unrated, published_at) VALUES (:a, :b, 'x', '{}', 4321, 0, :now) RETURNING id",
            a=JUNE,
            b=JULY,
            now=at(JULY),
        )
        return int(
            self.do(
                "INSERT INTO usage_summary (brand_id, service_id, usage_class, period_start, "
                "period_end, unit, units, included_units, rated_amount, cost_amount, currency, "
                "records, rating_run_id, derivation) VALUES (:brand, :service, 'national', :a, "
                ":b, 'min', 9876.5, 1000, 45.6789, 12, 'EUR', 4321, :run, '{}') RETURNING id",
                brand=self.brand_id,
                service=service,
                a=JUNE,
                b=JULY,
                run=run,
            )
        )

    def pay(self, amount: str, *, reference: str, invoice: str | None) -> int:
        with self.store.transaction() as tx:
            return record_payment(
                tx=tx,
                notice=PaymentNotice(
                    source="csv",
                    reference=reference,
                    received_on=date(2026, 7, 10),
                    amount=Decimal(amount),
                    currency="EUR",
                    invoice_number=invoice,
                ),
                now=at(date(2026, 7, 10)),
            )

    def print_invoice(self, invoice_id: int) -> None:
        self.do(
            "INSERT INTO invoice_document (invoice_id, media_type, sha256, content, rendered_at) "
            "VALUES (:id, 'application/pdf', 'x', :content, :now)",
            id=invoice_id,
            content=PDF,
            now=at(JULY),
        )

    def all_pushed(self) -> None:
        """Let the CRM know everything: nothing is owed and every record is in step."""
        self.do("TRUNCATE push_log, push_queue")
        for entity, table in (
            ("account", "account"),
            ("opportunity", "customer_order"),
            ("customer_order", "customer_order"),
            ("service", "service"),
            ("usage_summary", "usage_summary"),
            ("invoice", "invoice"),
            ("payment", "payment"),
        ):
            self.do(
                "INSERT INTO crm_record (entity, hub_id, object, sfid, born, status) "
                f"SELECT :entity, id, :entity, :entity || id, 'crm', 'In Sync' FROM {table} "
                "ON CONFLICT (entity, hub_id) DO UPDATE SET status = 'In Sync', error = NULL",
                entity=entity,
            )

    def refuse(self, entity: str, hub_id: int, *, error: str, remedy: str, status: str) -> None:
        self.do(
            "UPDATE crm_record SET status = :status, error = :error, remedy = :remedy "
            "WHERE entity = :entity AND hub_id = :id",
            entity=entity,
            id=hub_id,
            status=status,
            error=error,
            remedy=remedy,
        )

    def owe(self, entity: str, hub_id: int) -> None:
        self.do(
            "INSERT INTO push_queue (entity, key) SELECT code, :id FROM push_entity "
            "WHERE name = :entity",
            entity=entity,
            id=hub_id,
        )
