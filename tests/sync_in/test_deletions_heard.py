"""Deletions that change events tell of: whose clock they have, and what may not hold them up."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from connector.sync.inbox.hints import Hint, store_hints
from connector.sync.mapping.loading import load_mappings

SHIPPED = Path(__file__).parents[2] / "mappings" / "salesforce"


def hear(way_in, hint: Hint) -> None:
    with way_in.store.transaction() as tx:
        store_hints(tx, topic="test", organization_id="x", hints=[hint])


def test_has_the_instant_of_the_org_not_of_this_machine(still) -> None:
    account = still.user.create("Account", Name="Acme")
    still.pull()
    still.pass_time(minutes=30)
    still.user.delete("Account", account)
    hear(
        still.way_in,
        Hint("Account", account, "DELETE", still.now + timedelta(milliseconds=400)),
    )

    still.way_in.apply()

    for table in ("account", "crm_record"):
        assert still.way_in.rows(f"SELECT deleted_at FROM {table}") == [{"deleted_at": still.now}]


def test_is_noted_though_another_object_cannot_be_read(way_in, user, tmp_path) -> None:
    account = user.create("Account", Name="Acme")
    way_in.sweep()
    way_in.apply()
    user.delete("Account", account)
    files = shutil.copytree(SHIPPED, tmp_path / "mappings")
    deal = files / "opportunity.yaml"
    deal.write_text(deal.read_text().replace("CloseDate", "Closes__c"))
    way_in.mappings = load_mappings(files)

    now = datetime.now(UTC)
    hear(way_in, Hint("Opportunity", "006000000000001AAA", "UPDATE", now))
    hear(way_in, Hint("Account", account, "DELETE", now))
    report = way_in.apply()

    assert (report.postponed, report.deleted) == (1, 1)
