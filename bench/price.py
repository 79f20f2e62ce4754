"""Prices lines as `l2c price` does; reference: orjson reading and writing the same lines."""

import io
import os
import random
import resource
import time
from collections.abc import Callable
from typing import Any

import orjson

from connector.cli.price import answer_all
from connector.kernel.clock import monotonic_s

SEED = 20_261_128
DIFFERENT_LINES = 10_000  # repeated until there are enough; nothing is remembered between lines
TIERS = (("10", "1.00"), ("100", "0.80"), ("1000", "0.65"), (None, "0.50"))
RATES = (("10000", "0.03"), (None, "0.07"))


def run(*, calculations: int) -> dict[str, Any]:
    """Return the figures of one run over an even mix of the eight models, on one core."""
    made = _lines(min(calculations, DIFFERENT_LINES))
    lines = [made[number % len(made)] for number in range(calculations)]
    before = _timed(lambda: _copy(lines))
    seconds, cpu_seconds = _timed(lambda: _price(lines))
    after = _timed(lambda: _copy(lines))
    # Measured on both sides of the run, so that other work on the machine weighs on both.
    reference_s = (before[0] + after[0]) / 2
    reference_cpu_s = (before[1] + after[1]) / 2
    return {
        "bench": "price",
        "seconds": round(seconds, 3),
        "reference": "orjson reading and writing the same lines",
        "reference_seconds": round(reference_s, 3),
        "ratio": round(seconds / reference_s, 2),
        "rows": calculations,
        "rows_per_second": round(calculations / seconds),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "cpu_count": os.cpu_count(),
        "cpu_seconds": round(cpu_seconds, 3),
        "rows_per_cpu_second": round(calculations / cpu_seconds),
        "cpu_ratio": round(cpu_seconds / reference_cpu_s, 2),
    }


def _price(lines: list[bytes]) -> None:
    refused = answer_all(io.BytesIO(b"\n".join(lines)), io.BytesIO(), as_json=True)
    assert refused == 0


def _copy(lines: list[bytes]) -> None:
    out = io.BytesIO()
    for line in lines:
        out.write(orjson.dumps(orjson.loads(line)))
        out.write(b"\n")


def _timed(act: Callable[[], None]) -> tuple[float, float]:
    wall, cpu = monotonic_s(), time.process_time()
    act()
    return monotonic_s() - wall, time.process_time() - cpu


def _lines(count: int) -> list[bytes]:
    chance = random.Random(SEED)
    models = list(_models(chance))
    return [
        orjson.dumps(
            {"currency": chance.choice(("EUR", "GBP", "JPY", "KWD")), "model": name}
            | fields()
            | {"quantity": f"{chance.randrange(0, 5_000)}.{chance.randrange(0, 100):02}"}
            | _adjustments(chance)
        )
        for number in range(count)
        for name, fields in [models[number % len(models)]]
    ]


def _models(chance: random.Random) -> list[tuple[str, Callable[[], dict[str, Any]]]]:
    def money() -> str:
        return f"{chance.randrange(0, 100)}.{chance.randrange(0, 100):02}"

    units = [{"up_to": bound, "unit_price": each, "flat": "0"} for bound, each in TIERS]
    steps = [{"up_to": bound, "flat": each} for bound, each in TIERS]
    rates = [{"up_to": bound, "rate": rate, "flat": "1"} for bound, rate in RATES]
    return [
        ("flat", lambda: {"amount": money()}),
        ("per_unit", lambda: {"unit_price": money()}),
        ("graduated", lambda: {"tiers": units}),
        ("volume", lambda: {"tiers": units}),
        ("package", lambda: {"package_size": "100", "package_price": money(), "free_units": "10"}),
        ("percentage", lambda: {"rate": "0.029", "fixed_amount": "0.30", "max_amount": "50"}),
        ("graduated_percentage", lambda: {"tiers": rates}),
        ("stairstep", lambda: {"tiers": steps}),
    ]


def _adjustments(chance: random.Random) -> dict[str, Any]:
    """A third of the lines has a discount and a minimum."""
    if chance.randrange(3):
        return {}
    return {"discounts": [{"percent": str(chance.randrange(1, 50))}], "minimum": "5.00"}
