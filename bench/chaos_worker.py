"""`l2c serve` as the chaos run starts it; here, and only here, parts of sync can be switched off.

No setting reaches this: the two variables are read by this program alone, and nothing but the
benchmark and its tests start it.
"""

import importlib
import os
from collections.abc import Callable
from typing import Any

import orjson
from sqlalchemy import text

from connector.adapters.salesforce.answers import results_of
from connector.cli.main import main

PAGE = "L2C_BENCH_SWEEP_PAGE"  # records a page, so that few records have many page edges
WITHOUT = "L2C_BENCH_WITHOUT"
DEDUPLICATION, VERSION_GUARD = "deduplication", "version-guard"
KEYLESS = "order_line"  # nothing refers to it by its key
PARTS = (DEDUPLICATION, VERSION_GUARD)


Put = Callable[[Any, str, Any], None]


def without_deduplication(put: Put = setattr) -> None:
    """Send order lines without their key, as a client that creates and hopes."""
    delivery: Any = importlib.import_module("connector.sync.push.delivery")
    push_pass: Any = importlib.import_module("connector.sync.push.one_pass")
    keyed = delivery.Parcel

    class Keyless(keyed):  # type: ignore[misc]
        def subrequest(self, reference: str) -> Any:
            if self.mapping.entity != KEYLESS:
                return super().subrequest(reference)
            path = f"composite/sobjects/{self.mapping.object}/Id"
            call = super().subrequest(reference)
            return type(call)(call.method, path, reference, call.body)

        def _identity(self, owed: Any) -> bytes:
            if self.mapping.entity != KEYLESS:
                return bytes(super()._identity(owed))
            return b'"Id":' + orjson.dumps(owed.sfid)

    def deliver_lone(org: Any, parcel: Any) -> Any:
        (answer,) = org.composite([parcel.subrequest("lone")])
        return results_of(answer, 1)[0]

    put(push_pass, "Parcel", Keyless)
    put(delivery, "_deliver_lone", deliver_lone)


def without_version_guard(put: Put = setattr) -> None:
    """Take every record for news, however old it is."""
    attributes: Any = importlib.import_module("connector.sync.apply.attributes")
    put(
        attributes,
        "_KNOWN",
        text(
            "SELECT sfid, hub_id, CAST(NULL AS timestamptz) AS system_modstamp, known"
            "  FROM crm_record WHERE entity = :entity AND sfid = ANY(:sfids)"
        ),
    )


def run() -> None:
    """Change what the environment asks for, then do what the command line says."""
    sweep: Any = importlib.import_module("connector.sync.capture.sweep")
    sweep.PAGE = int(os.environ.get(PAGE, sweep.PAGE))
    switched_off = os.environ.get(WITHOUT)
    if switched_off == DEDUPLICATION:
        without_deduplication()
    elif switched_off == VERSION_GUARD:
        without_version_guard()
    main()


if __name__ == "__main__":
    run()
