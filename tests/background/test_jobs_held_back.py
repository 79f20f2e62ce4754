"""Where a day is told or measured, no job may come in between because of the hour it is."""

import importlib

import pytest

from connector.background.registry import interval, load_jobs
from connector.cli.demo.stage import TOLD_BY_THE_STORY

# At any hour of the story they change nothing that it tells.
HARMLESS_AT_ANY_HOUR = {"describe_org", "tidy_inbox", "tidy_queue"}


@pytest.fixture(scope="module")
def schedules():
    return importlib.import_module("l2c_bench.schedules")


def test_the_story_tells_of_every_daily_job_that_does_business() -> None:
    daily = {job.name for job in load_jobs() if job.schedule and interval(job.schedule) is None}

    assert daily - HARMLESS_AT_ANY_HOUR == set(TOLD_BY_THE_STORY)


def test_whatever_is_no_job_of_sync_is_off_while_sync_is_measured(schedules) -> None:
    names = {job.name for job in load_jobs()}

    said = schedules.only_sync({"sweep": "every 2 s"})

    assert names >= schedules.SYNC
    assert said.pop("sweep") == "every 2 s"
    assert said == dict.fromkeys(names - schedules.SYNC, "off")
