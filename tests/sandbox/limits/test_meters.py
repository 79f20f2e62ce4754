"""The meter of API calls rolls over 24 hours; profiles, long calls and /limits (fact sheet J)."""

import threading
from collections.abc import Iterator

import pytest
import requests
from l2c_sandbox import clock
from l2c_sandbox.limits import DAY_S, PROFILES, Meter
from org_client import Client


@pytest.fixture
def standing_clock() -> Iterator[None]:
    clock.stand_still()
    yield
    clock.run()


def wait(seconds: int) -> None:
    clock.move_to(clock.epoch_ms() + seconds * clock.MS)


@pytest.mark.usefixtures("standing_clock")
class TestMeter:
    def test_forgets_a_call_after_24_hours(self) -> None:
        meter = Meter(3)
        counted = []
        for _ in range(4):
            counted.append(meter.count())
            wait(3_600)

        wait(DAY_S - 4 * 3_600)

        assert counted == [True, True, True, False]
        assert meter.used == 2
        assert meter.count()
        assert not meter.count()

    def test_what_is_set_as_used_ages_too(self) -> None:
        meter = Meter(10)
        meter.set(most=None, used=10)

        wait(DAY_S - 1)
        late = meter.used
        wait(1)

        assert (late, meter.used) == (10, 0)

    def test_names_use_and_allowance(self) -> None:
        meter = Meter(10)
        meter.count(3)

        assert meter.header() == "api-usage=3/10"


def test_editions_allow_what_their_licences_add_up_to() -> None:
    assert {name: p.daily_calls for name, p in PROFILES.items()} == {
        "developer": 15_000,
        "enterprise": 110_000,
        "unlimited": 150_000,
    }


def test_limits_name_every_key_and_what_remains(org: Client) -> None:
    org.post("/__sandbox__/limits", {"max": 100, "used": 40})

    body = org.get("/limits").json()

    assert body["DailyApiRequests"] == {"Max": 100, "Remaining": 59}
    assert body["DailyBulkApiBatches"] == {"Max": 15_000, "Remaining": 15_000}
    assert body["DailyBulkV2QueryFileStorageMB"]["Max"] == 976_562
    assert {"HourlyPublishedPlatformEvents", "DataStorageMB", "PermissionSets"} <= set(body)
    assert all(0 <= entry["Remaining"] <= entry["Max"] for entry in body.values())


def test_a_used_up_allowance_refuses_until_it_is_raised(org: Client) -> None:
    org.post("/__sandbox__/limits", {"max": 5, "used": 5})

    refused = org.get("/sobjects")
    versions = requests.get(f"{org.base_url}/services/data", timeout=10)
    org.post("/__sandbox__/limits", {"max": 6})

    assert refused.status_code == 403
    assert refused.json()[0]["message"] == "TotalRequests Limit exceeded."
    assert versions.status_code == 200
    assert org.get("/sobjects").status_code == 200


def test_too_many_long_calls_at_once_are_refused(org: Client) -> None:
    org.post("/__sandbox__/limits", {"long_calls": 1, "long_call_ms": 50})
    slow = {"kind": "latency", "seconds": 0.5, "count": 1}
    org.post("/__sandbox__/faults", {"faults": [slow]})
    other = Client(org.base_url)
    org.post("/__sandbox__/faults", {"faults": [slow]})
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(other.get("/sobjects").status_code))
    thread.start()
    clock.pause(0.2)

    refused = org.get("/sobjects")
    thread.join()
    accepted = org.get("/sobjects")
    org.post("/__sandbox__/limits", {"long_calls": 25, "long_call_ms": 20_000})

    assert (refused.status_code, refused.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")
    assert "ConcurrentPerOrgLongTxn" in refused.json()[0]["message"]
    assert (answers, accepted.status_code) == ([200], 200)
