"""Which jobs run by themselves while sync is measured: its own, and no business of the day."""

from collections.abc import Mapping

from connector.background.registry import load_jobs
from connector.background.scheduler import OFF

SYNC = frozenset(
    {
        "apply_inbox",
        "describe_org",
        "push_changes",
        "recheck_mappings",
        "sweep",
        "tidy_inbox",
        "tidy_queue",
    }
)


def only_sync(schedules: Mapping[str, str]) -> dict[str, str]:
    """Return `jobs.schedules` that change some jobs of sync and switch off whatever is none."""
    others = (job.name for job in load_jobs() if job.name not in SYNC)
    return {**schedules, **dict.fromkeys(others, OFF)}
