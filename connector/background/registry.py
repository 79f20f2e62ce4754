"""Finds the jobs: every module of the package `l2c_jobs` is one."""

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from types import ModuleType

from connector.errors import Misconfigured

JOBS_PACKAGE = "l2c_jobs"
_ATTEMPTS_DEFAULT = 10
_INTERVAL = re.compile(r"every (\d{1,5}) (s|min|h)")
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours"}


@dataclass(frozen=True, slots=True)
class Job:
    """One kind of background work.

    Attributes:
        schedule: `every 5 s`, `every 2 min`, a crontab line in UTC, or None for jobs that are only
            deferred by use-cases.
        attempts: How often it is tried when it fails with something that may pass.
    """

    name: str
    run: Callable[..., None]
    schedule: str | None
    attempts: int

    @property
    def repeats(self) -> bool:
        """Return whether the clock brings it again soon, so that a retry is the next tick."""
        return self.schedule is not None and interval(self.schedule) is not None


def interval(schedule: str) -> timedelta | None:
    """Return the step of an `every ..` schedule, or None for a crontab line.

    Raises:
        Misconfigured: The step is zero.
    """
    found = _INTERVAL.fullmatch(schedule.strip())
    if found is None:
        return None
    step = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if not step:
        raise Misconfigured(f"The schedule {schedule!r} never advances.", remedy="Use 1 or more.")
    return step


def load_jobs(package: str = JOBS_PACKAGE) -> tuple[Job, ...]:
    """Import every job of a package, in the order of their names.

    Raises:
        Misconfigured: A module is not a job, or two have one name.
    """
    root = importlib.import_module(package)
    found = [
        _job_of(importlib.import_module(f"{package}.{info.name}"))
        for info in pkgutil.iter_modules(root.__path__)
        if not info.name.startswith("_")
    ]
    names = [job.name for job in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise Misconfigured(f"Two jobs are called {', '.join(sorted(twice))}.")
    return tuple(sorted(found, key=lambda job: job.name))


def _job_of(module: ModuleType) -> Job:
    name, run = getattr(module, "NAME", None), getattr(module, "run", None)
    if not isinstance(name, str) or not callable(run):
        raise Misconfigured(
            f"{module.__name__} is not a job.", remedy="Give it NAME and run(app), or move it."
        )
    schedule = getattr(module, "SCHEDULE", None)
    # What comes again in seconds anyway needs no second try in between.
    repeats = schedule is not None and interval(schedule) is not None
    attempts = getattr(module, "ATTEMPTS", 1 if repeats else _ATTEMPTS_DEFAULT)
    return Job(name=name, run=run, schedule=schedule, attempts=attempts)
