"""The proration policy of an operator's own folder of mapping files (`sync.mappings_dir`)."""

from datetime import UTC, date, datetime
from pathlib import Path

from billing_world import BillingWorld

from connector.bootstrap import App
from connector.config import Settings
from connector.kernel.clock import MovableClock
from connector.store.engine import Store


def test_holds_for_what_begins_once_the_service_runs_with_it(store: Store, tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "proration.yaml").write_text("default: {min_charge_days: 3}\n")
    settings = Settings.model_validate({"sync": {"mappings_dir": tmp_path}})
    app = App(settings=settings, store=store, clock=MovableClock(datetime(2026, 6, 1, tzinfo=UTC)))
    world = BillingWorld(store)

    world.start(world.service(world.payer(), world.product("line"), "60.00"), date(2026, 6, 1))
    app.queue.close()

    (days,) = world.one("SELECT policy ->> 'min_charge_days' FROM charge")
    assert days == "3"
