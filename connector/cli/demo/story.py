"""The story: two billing months of three customers, each step safe to be told again."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from sqlalchemy import text

from connector.cli.demo import deals, payers, sales, usage_files
from connector.cli.demo.crm_user import CrmUser
from connector.cli.demo.narrator import Narrator, amounts
from connector.cli.demo.stage import Stage
from connector.errors import StateConflict
from connector.kernel.period import Period
from connector.mediation.imports import UsageFileAlreadyLoaded

CATALOG = Path(__file__).parent / "data" / "catalog"
JUNE = Period(date(2026, 6, 1), date(2026, 7, 1))
JULY = Period(date(2026, 7, 1), date(2026, 8, 1))
DELIVERY_ROUNDS_MAX = 12


@dataclass(frozen=True, slots=True)
class Story:
    """Everybody who takes part."""

    stage: Stage
    crm: CrmUser
    narrator: Narrator
    folder: Path
    calls_a_month: int

    def tell(self) -> None:
        """Tell everything from the catalogue to the last payment."""
        self.open_shop()
        accounts = self.meet_customers()
        self.win(deals.JUNE_DEALS, accounts)
        self.deliver(deals.JUNE_DEALS)
        self.close_month(JUNE)
        self.collect(JUNE)
        self.win((deals.CANCELLATION,), accounts)
        self.deliver((deals.CANCELLATION,))
        self.win((deals.UPGRADE,), accounts)
        self.deliver((deals.UPGRADE,))
        self.close_month(JULY)
        self.collect(JULY)

    def open_shop(self) -> None:
        """Load the catalogue and put its products on the CRM's price book."""
        self._at(date(2026, 6, 1), "The catalogue")
        report = self.stage.app.load_catalog(CATALOG)
        self.stage.settle()
        self.narrator.say(
            "It stands already."
            if report.was_loaded_before
            else f"{report.products} products, {report.prices_opened} prices, {report.rates} rates"
        )
        entries = sales.fill_price_book(self.crm)
        self.narrator.say(f"The CRM's price book holds {entries} products for sale.")

    def meet_customers(self) -> dict[str, str]:
        """Enter the customers in the CRM; return their account ids by key."""
        self._at(date(2026, 6, 2), "The customers, entered in the CRM by sales")
        reseller = sales.enter_customer(self.crm, deals.RESELLER, {})
        accounts = {"brightit": reseller}
        for customer in deals.CUSTOMERS:
            accounts[customer.key] = sales.enter_customer(self.crm, customer, accounts)
            kind = "person" if "LastName" in customer.values else "business"
            name = customer.values.get("Name") or f"{customer.values['FirstName']} Lee"
            through = " through BrightIT Partners" if customer.reseller else ""
            self.narrator.say(f"{name} ({kind}){through}")
        self.stage.settle()
        return accounts

    def win(self, won: tuple[deals.Deal, ...], accounts: dict[str, str]) -> None:
        """Enter deals in the CRM, close them as won, and watch them become orders."""
        self._at(won[0].won_on, "Won in the CRM, delivered to the connector")
        for deal in won:
            self.stage.move_to(_at_nine(deal.won_on))
            sfid = sales.enter_deal(self.crm, deal, accounts[deal.customer])
            sales.close_won(self.crm, sfid)
            self.stage.settle()
            with self.stage.app.store.read() as tx:
                order = tx.execute(
                    text(
                        "SELECT o.number, count(DISTINCT w.id), count(t.id) "
                        "FROM customer_order o JOIN order_line l ON l.order_id = o.id "
                        "LEFT JOIN work_order w ON w.order_line_id = l.id "
                        "LEFT JOIN task t ON t.work_order_id = w.id "
                        "WHERE o.opportunity_sfid = :sfid GROUP BY o.number"
                    ),
                    {"sfid": sfid},
                ).one_or_none()
            if order is None:
                raise StateConflict(
                    f"The deal '{deal.name}' did not become an order.",
                    remedy="See the parked intents: l2c sync status.",
                )
            self.narrator.say(
                f"{deal.name} ({deal.promise}): order {order[0]}, "
                f"{order[1]} work orders, {order[2]} tasks"
            )

    def deliver(self, sold: tuple[deals.Deal, ...]) -> None:
        """Complete the manual tasks in the CRM, round by round, until nothing is left to do."""
        for deal in sorted(sold, key=lambda deal: deal.delivered_on):
            self._at(deal.delivered_on, f"Delivered: {deal.name}")
            opportunity = sales.find_deal(self.crm, deal)
            done = 0
            for _ in range(DELIVERY_ROUNDS_MAX):
                completed = self.crm.complete_ready_tasks(
                    opportunity=opportunity, effective_on=deal.delivered_on
                )
                self.stage.settle()
                done += completed
                if completed == 0:
                    break
            else:
                raise StateConflict(f"The delivery of '{deal.name}' does not come to an end.")
            self.narrator.say(f"{done} manual tasks completed in the CRM, the rest ran by itself")
        with self.stage.app.store.read() as tx:
            count = tx.scalar(text("SELECT count(*) FROM service WHERE state = 'In Service'"))
        self.narrator.say(f"{count} services are In Service")

    def close_month(self, month: Period) -> None:
        """Import and rate a month of usage, run the bills, and see them in the CRM."""
        assert month.end is not None
        self._at(month.end, f"Usage and bills of {month.start:%B %Y}")
        app = self.stage.app
        for feed, path in self._usage_of(month):
            self._import(feed, path)
        rated = app.rate_usage(month)
        self.narrator.say(
            f"{rated.records:,} records rated into {rated.summaries} summaries, "
            f"{rated.unrated} could not be rated"
        )
        bills = app.run_bills(month.end)
        self.narrator.say(str(bills))
        if bills.problems:
            raise StateConflict(f"The bill run met problems: {bills.problems}")
        self.stage.settle()

    def collect(self, month: Period) -> None:
        """Take in the payments that follow a month's invoices."""
        assert month.end is not None
        day = month.end.replace(day=10)
        self._at(day, "Payments come in, by bank file and by signed webhook")
        app = self.stage.app
        paid = app.import_payments(payers.bank_file(app.store, month.end, day))
        self.narrator.say(f"bank file: {paid.recorded} payments ({amounts(paid.totals)})")
        for held in paid.held:
            self.narrator.say(f"held, nothing lost: {held.reference}: {held.reason}")
        for notice in payers.gateway_notices(app.store, month.end, day):
            self.stage.post_payment(notice)
        self.stage.settle()
        with app.store.read() as tx:
            rows = tx.execute(
                text(
                    "SELECT i.currency, sum(b.balance) FROM v_invoice_balance b "
                    "JOIN invoice i ON i.id = b.invoice_id GROUP BY 1"
                )
            ).all()
        self.narrator.say(f"Still open: {amounts({row[0]: row[1] for row in rows})}")

    def _import(self, feed: str, path: Path) -> None:
        try:
            report = self.stage.app.import_usage(path, feed=feed)
        except UsageFileAlreadyLoaded as told_before:
            self.narrator.say(told_before.message)
            return
        self.narrator.say(
            f"{path.name}: {report.lines_read:,} lines, {report.accepted:,} accepted, "
            f"{report.duplicate:,} duplicate, {report.suspense:,} in suspense"
        )

    def _usage_of(self, month: Period) -> list[tuple[str, Path]]:
        assert month.end is not None
        with self.stage.app.store.read() as tx:
            aliases = tx.execute(
                text(
                    "SELECT kind, value, valid_from FROM service_alias "
                    "ORDER BY kind, value, valid_from"
                )
            ).all()
        numbers = [alias.value for alias in aliases if alias.kind == "number"]
        subscriptions = [alias for alias in aliases if alias.kind == "subscription"]
        files: list[tuple[str, Path]] = []
        since = max(month.start, min(a.valid_from for a in aliases if a.kind == "number"))
        calls = self.folder / f"calls-{month.start:%Y-%m}.csv"
        usage_files.write_calls(
            calls, numbers=numbers, first=since, last=month.end, count=self.calls_a_month
        )
        files.append(("cdr", calls))
        for nth, alias in enumerate(subscriptions):
            cloud = self.folder / f"{alias.value}-{month.start:%Y-%m}.csv"
            usage_files.write_cloud_usage(
                cloud,
                subscription=alias.value,
                nth=nth,
                first=max(month.start, alias.valid_from),
                last=month.end,
            )
            files.append(("cloud", cloud))
        return files

    def _at(self, day: date, title: str) -> None:
        self.stage.move_to(_at_nine(day))
        self.narrator.chapter(f"{day:%d %B %Y}: {title}")


def _at_nine(day: date) -> datetime:
    return datetime.combine(day, time(9), tzinfo=UTC)
