"""What another program writes by SQL goes out as soon as what the connector's use-cases write."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from structlog.testing import capture_logs

from connector.store.engine import Store
from connector.sync.push.watch import MarkWatch

PATIENCE_S = 20
RENAME = "UPDATE product SET display_name = display_name || '.'"


@contextmanager
def watching(store: Store, told: Callable[[], None]) -> Iterator[None]:
    watch = MarkWatch(store, on_marks=told, every_s=0.02)
    watch.start()
    try:
        yield
    finally:
        watch.stop()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class TestALook:
    def test_sees_a_mark_once(self, store, world):
        watch = MarkWatch(store, on_marks=lambda: None)

        assert watch.look()
        assert not watch.look()

    def test_sees_nothing_in_an_empty_log(self, store, world, push):
        push()

        assert not MarkWatch(store, on_marks=lambda: None).look()

    def test_sees_the_next_mark_after_the_push_has_emptied_the_log(
        self, store, world, push, change
    ):
        watch = MarkWatch(store, on_marks=lambda: None)
        watch.look()
        push()
        watch.look()

        change(RENAME)

        assert watch.look()

    def test_sees_a_mark_that_committed_after_a_later_one(self, store, world, push, change):
        watch = MarkWatch(store, on_marks=lambda: None)
        with store.transaction() as late:
            late.exec_driver_sql(RENAME)
            change("UPDATE account SET link_state = 'Broken'")
            watch.look()
            push()  # takes what has been committed

        assert watch.look()


class TestTheThread:
    def test_tells_of_a_change_in_plain_sql(self, store, world, push, change):
        push()
        told = threading.Event()

        with watching(store, told.set):
            change(RENAME)

            assert told.wait(PATIENCE_S)

    def test_goes_on_after_the_store_failed(self, store, world, push, change):
        push()
        told = threading.Event()
        change("ALTER TABLE push_log RENAME TO elsewhere")

        with capture_logs() as logs, watching(store, told.set):
            wait_until(lambda: any(entry["event"] == "push.watch_failed" for entry in logs))
            change("ALTER TABLE elsewhere RENAME TO push_log")
            change(RENAME)

            assert told.wait(PATIENCE_S)


def test_a_worker_sends_what_plain_sql_changed_without_a_schedule(
    world, push, open_app, change, crm
):
    push()
    app = open_app()
    app.start_background(scheduler=False)
    try:
        change("UPDATE product SET display_name = 'Changed by SQL'")

        wait_until(lambda: crm.count("Product2 WHERE L2C_Display_Name__c = 'Changed by SQL'"))
    finally:
        app.stop_background()
