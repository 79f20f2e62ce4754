"""Usage as vendors deliver it: call records and cloud meters, the same file for the same month."""

import csv
import random
from collections.abc import Sequence
from datetime import UTC, date, timedelta
from pathlib import Path

from connector.kernel.period import local_midnight

TIMEZONE = "Europe/Berlin"  # where days begin and end; the cloud vendor writes UTC
METERS = (("vm-hour", 6), ("storage-gb-hour", 900), ("egress-gb", 4))

# A called number begins with one of these; the weight says how often that happens.
DESTINATIONS = (
    ("4961", 34),
    ("4930", 14),
    ("49151", 16),
    ("49172", 12),
    ("33142", 6),
    ("336", 4),
    ("44207", 5),
    ("447", 3),
    ("1212", 3),
    ("390", 2),
    ("81", 1),
)


def write_calls(path: Path, *, numbers: Sequence[str], first: date, last: date, count: int) -> None:
    """Write call records of the numbers, spread over the days from first to before last.

    The content depends on the arguments alone, so an interrupted story makes the same file again.
    """
    chance = random.Random(f"calls/{first}/{last}/{count}")  # noqa: S311
    seconds = (last - first).days * 86_400
    prefixes, weights = zip(*DESTINATIONS, strict=True)
    called = chance.choices(prefixes, weights=weights, k=count)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["call_id", "calling_number", "called_number", "start_time", "duration_s"])
        for n, prefix in enumerate(called):
            at = chance.randrange(seconds)
            day = first + timedelta(days=at // 86_400)
            clock = f"{at % 86_400 // 3600:02}:{at % 3600 // 60:02}:{at % 60:02}"
            digits = f"{chance.randrange(10**8):08}"
            out.writerow(
                [
                    f"{first:%Y%m}-{n:06}",
                    chance.choice(numbers),
                    f"+{prefix}{digits}"[:16],
                    f"{day.isoformat()} {clock}",
                    min(3_600, int(chance.expovariate(1 / 60)) + 1),
                ]
            )


def write_cloud_usage(path: Path, *, subscription: str, nth: int, first: date, last: date) -> None:
    """Write hourly compute, storage and traffic of one subscription, for whole local days.

    How much is used depends on its place among the subscriptions, not on its name: names carry
    service numbers, and an interrupted story may skip some of these.
    """
    chance = random.Random(f"cloud/{nth}/{first}")  # noqa: S311
    begin = local_midnight(first, TIMEZONE).astimezone(UTC)
    hours = (local_midnight(last, TIMEZONE).astimezone(UTC) - begin) // timedelta(hours=1)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["record_id", "subscription_id", "meter", "quantity", "used_at"])
        for hour in range(hours):
            at = begin + timedelta(hours=hour)
            for meter, most in METERS:
                out.writerow(
                    [
                        f"{at:%Y%m%d%H}-{meter}",
                        subscription,
                        meter,
                        chance.randint(1, most),
                        f"{at:%Y-%m-%d %H:%M:%S}",
                    ]
                )
