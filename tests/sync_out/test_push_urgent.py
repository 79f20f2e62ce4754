"""A few records that change while a pass runs do not wait for its backlog."""

import time

import pytest
from sqlalchemy import text
from sync_out.world import NOW, insert

from connector.sync.push import queue
from connector.sync.push.in_bulk import BulkDelivery
from connector.sync.push.run import push_pending

BACKLOG = 300
CHANGE = "UPDATE payment SET reference = 'urgent'"
_SUMMARIES = text("""
    INSERT INTO usage_summary (brand_id, service_id, usage_class, period_start, period_end, unit,
                               units, rated_amount, cost_amount, currency, records, rating_run_id,
                               derivation)
    SELECT :brand, :service, 'Voice', CAST(:first AS date) + n, CAST(:first AS date) + n + 1, 's',
           n, n, 0, 'EUR', 1, :run, '{}'
      FROM generate_series(1, :rows) n
""")


@pytest.fixture
def summaries(world, store):
    """Make so many summaries, to be pushed."""
    with store.transaction() as tx:
        run = insert(
            tx, "rating_run", period_start="2026-06-01", period_end="2026-07-01", snapshot={},
            records=0, unrated=0, published_at=NOW, input_hash="-",
        )  # fmt: skip

    def make(rows, *, first):
        with store.transaction() as tx:
            tx.execute(
                _SUMMARIES,
                {
                    "brand": world.brand, "service": world.service, "run": run,
                    "rows": rows, "first": first,
                },
            )  # fmt: skip

    return make


@pytest.fixture
def backlog(push, summaries, monkeypatch):
    """All that the CRM is owed."""
    monkeypatch.setattr("connector.sync.push.one_pass.LEASE_SIZE", 100)
    push()
    summaries(BACKLOG, first="1950-01-01")


@pytest.fixture
def during_the_pass(monkeypatch):
    """Carry something out once, after the pass has taken the first part of its backlog."""
    lease = queue.lease

    def arrange(act):
        def taken(*arguments, **named):
            leases = lease(*arguments, **named)
            monkeypatch.setattr(queue, "lease", lease)
            act()
            return leases

        monkeypatch.setattr(queue, "lease", taken)

    return arrange


@pytest.fixture
def calls(client, monkeypatch):
    """The calls that write, as they are made: the path of a lone row, or `several`."""
    made: list[str] = []
    composite, write_row = client.composite, client.write_row

    def several(*arguments, **named):
        made.append("several")
        return composite(*arguments, **named)

    def lone(method, path, **named):
        made.append(path.split("/")[1])
        return write_row(method, path, **named)

    monkeypatch.setattr(client, "composite", several)
    monkeypatch.setattr(client, "write_row", lone)
    return made


@pytest.fixture
def one_pass(store, client, mappings):
    def run(**named):
        return push_pending(store=store, org=client, mappings=mappings, now=NOW, **named)

    return run


def test_a_lone_change_goes_before_the_rest_of_the_backlog(
    backlog, during_the_pass, calls, one_pass, change, crm
):
    during_the_pass(lambda: change(CHANGE))

    report = one_pass()

    assert report.written == BACKLOG + 1
    assert calls == ["L2C_Payment__c", "several"]
    assert crm.one("SELECT Reference__c FROM L2C_Payment__c")["Reference__c"] == "urgent"


def test_a_lone_change_goes_beside_a_bulk_job(backlog, calls, one_pass, change, crm, monkeypatch):
    monkeypatch.setattr("connector.sync.push.one_pass.LOOK_EVERY_S", 0.01)
    deliver = BulkDelivery.deliver

    def slow(*arguments, **named):
        change(CHANGE)
        looks = iter(range(600))
        while not calls and next(looks, None) is not None:
            time.sleep(0.05)
        calls.append("the job")
        return deliver(*arguments, **named)

    monkeypatch.setattr(BulkDelivery, "deliver", slow)
    report = one_pass(bulk_from=BACKLOG)

    assert report.written == BACKLOG + 1
    assert calls == ["L2C_Payment__c", "the job"]


def test_many_marks_are_a_backlog_of_their_own(
    backlog, during_the_pass, calls, one_pass, summaries
):
    during_the_pass(lambda: summaries(queue.SMALL + 1, first="1980-01-01"))

    first, second = one_pass(), one_pass()

    assert (first.written, second.written) == (BACKLOG, queue.SMALL + 1)
    assert calls == ["several", "several"]


def test_what_is_paused_after_a_refusal_stays_paused(
    backlog, during_the_pass, calls, one_pass, change
):
    def mark_what_is_paused():
        change(CHANGE)
        change(
            "INSERT INTO push_queue (entity, key, lease_until) "
            "SELECT e.code, p.id, now() + interval '1 hour' FROM push_entity e, payment p "
            "WHERE e.name = 'payment'"
        )

    during_the_pass(mark_what_is_paused)

    assert one_pass().written == BACKLOG
    assert calls == ["several"]


def test_an_entity_that_stands_still_does_so_for_urgent_changes_too(
    backlog, during_the_pass, calls, one_pass, change
):
    change(
        "INSERT INTO mapping_finding (entity, object, field, file, line, problem, remedy, halts, "
        "found_at) VALUES ('payment', 'L2C_Payment__c', 'Date__c', 'payment.yaml', 1, 'Wrong.', "
        "'Mend it.', 'push', now())"
    )
    during_the_pass(lambda: change(CHANGE))

    report = one_pass()

    assert report.written == BACKLOG
    assert [halt.entity for halt in report.halts] == ["payment"]
    assert calls == ["several"]


def test_a_pass_of_few_calls_spends_them_on_its_backlog(
    backlog, during_the_pass, calls, one_pass, change
):
    during_the_pass(lambda: change(CHANGE))

    assert one_pass(limit=999).written == BACKLOG
    assert one_pass(limit=999).written == 1
