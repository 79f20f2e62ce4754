"""A clock that stands still moves what depends on time, and nothing else does."""

from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests
from l2c_sandbox import clock
from l2c_sandbox.org import Org, OrgSettings
from org_client import Client


def advance(org: Client, seconds: int) -> Any:
    answer = org.post("/__sandbox__/clock", {"advance_s": seconds})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_stamps_follow_the_clock(org: Client) -> None:
    advance(org, 1)
    first = org.create("Account", Name="A")
    advance(org, 86_400)
    org = Client(org.base_url)
    second = org.create("Account", Name="B")

    a, b = org.query(f"SELECT Id, CreatedDate FROM Account WHERE Id IN ('{first}', '{second}')")

    assert clock.is_manual()
    assert a["CreatedDate"][10:] == b["CreatedDate"][10:]
    assert a["CreatedDate"] < b["CreatedDate"]
    assert [r["Id"] for r in org.query("SELECT Id FROM Account WHERE CreatedDate = TODAY")] == [
        second
    ]


def test_is_set_to_a_moment_and_never_goes_back(org: Client) -> None:
    answer = org.post("/__sandbox__/clock", {"set": "2030-01-01T12:00:00Z"})
    back = org.post("/__sandbox__/clock", {"set": "2029-12-31T12:00:00Z"})

    assert answer.json() == {"now": "2030-01-01T12:00:00+00:00", "manual": True}
    assert back.status_code == 400
    assert "cannot go back" in back.json()[0]["message"]
    assert org.get("/__sandbox__/clock").json() == answer.json()


@pytest.mark.parametrize(
    "body",
    [{}, {"advance_s": -1}, {"set": "soon"}, {"advance_s": 1, "set": "2031-01-01T00:00:00Z"}],
)
def test_a_wrong_order_is_named(org: Client, body: dict[str, object]) -> None:
    answer = org.post("/__sandbox__/clock", body)

    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "INVALID_INPUT")


def test_changes_age_out_of_the_windows(org: Client) -> None:
    gone = org.create("Account", Name="A")
    org.delete(f"/sobjects/Account/{gone}")
    now = clock.now()
    window = {"start": now.strftime("%Y-%m-%dT%H:%M:00Z"), "end": "2099-01-01T00:00:00Z"}

    before = org.get("/sobjects/Account/deleted", params=window)
    advance(org, 16 * 86_400)
    after = Client(org.base_url).get("/sobjects/Account/deleted", params=window)

    assert [r["id"] for r in before.json()["deletedRecords"]] == [gone]
    assert after.json()[0]["errorCode"] == "INVALID_REPLICATION_DATE"


def test_the_clock_of_an_org_in_real_time_cannot_be_moved(server: object) -> None:
    clock.run()
    try:
        with pytest.raises(ValueError, match="--clock manual"):
            clock.move_to(clock.epoch_ms() + 1)
    finally:
        clock.stand_still()


def test_closing_an_org_sets_time_going_again(server: object) -> None:
    other = Org(OrgSettings(manual_clock=True))
    other.close()

    assert not clock.is_manual()
    clock.stand_still()


def test_a_day_of_silence_uses_up_retries(org: Client) -> None:
    """A message nobody takes is tried for 24 hours of the org's time, then dropped."""
    body = {"endpoint_base": "http://127.0.0.1:9"}
    org.call("PUT", "/__sandbox__/outbound", json=body)
    opportunity = org.create(
        "Opportunity", Name="O", StageName="Prospecting", CloseDate="2030-01-01"
    )
    org.patch(f"/sobjects/Opportunity/{opportunity}", {"StageName": "Closed Won"})
    first = requests.get(f"{org.base_url}/__sandbox__/outbound", timeout=10).json()

    advance(org, 86_400)
    _until_empty(org)

    assert first["pending"] == 1


def _until_empty(org: Client) -> None:
    for _ in range(200):
        if org.get("/__sandbox__/outbound").json()["pending"] == 0:
            return
        org.post("/__sandbox__/clock", {"advance_s": 7_200})
        clock.pause(0.02)
    raise AssertionError("the message is still queued")


def test_the_date_of_an_answer_is_that_of_the_org(org: Client) -> None:
    org.post("/__sandbox__/clock", {"advance_s": 3 * 86_400})
    told = org.get("/__sandbox__/clock")

    assert parsedate_to_datetime(told.headers["Date"]).isoformat() == told.json()["now"]
