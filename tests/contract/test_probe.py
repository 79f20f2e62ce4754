"""`l2c org probe` and `describe` on the local org, as an admin calls them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from connector.cli.main import cli
from connector.cli.probe.matching import difference
from connector.cli.probe.trying import TriedOrg


def call(tried: TriedOrg, *arguments: str) -> Result:
    known = {"L2C_ORG_CLIENT_SECRET": tried.known["client_secret"]}
    login = ["--org", tried.base_url, "--client-id", tried.known["client_id"]]
    return CliRunner(env=known).invoke(cli, ["org", *arguments, *login])


def test_a_probe_only_reads_and_finds_all_facts(tried: TriedOrg) -> None:
    before = tried.http.get(f"{tried.base_url}/__sandbox__/audit?limit=1", timeout=10).json()

    result = call(tried, "probe", "--section", "B", "--json")
    after = tried.http.get(f"{tried.base_url}/__sandbox__/audit?limit=1", timeout=10).json()

    counts = json.loads(result.output)["counts"]
    assert counts["holds"] > 50
    assert counts["differs"] == 0
    assert before == after


def test_events_are_not_tried_where_no_address_is_known(tried: TriedOrg) -> None:
    result = call(tried, "probe", "--section", "H.4", "--json")

    counts = json.loads(result.output)["counts"]
    assert result.exit_code == 0
    assert counts["differs"] == counts["holds"] == 0
    assert counts["not tried"] > 5


def test_a_difference_is_named_and_fails_the_command(tried: TriedOrg) -> None:
    fault = {"kind": "http", "status": 503, "path": "/describe", "count": 1}
    url = f"{tried.base_url}/__sandbox__/faults"
    tried.http.post(url, json={"faults": [fault]}, timeout=10)

    result = call(tried, "probe", "--section", "B.3")
    tried.http.delete(url, timeout=10)

    assert result.exit_code == 1
    assert "status: expected 200, got 503" in result.output
    assert "1 differs" in result.output


def test_describe_lists_objects_and_fields(tried: TriedOrg) -> None:
    objects = call(tried, "describe").output.split()
    fields = call(tried, "describe", "Opportunity").output

    assert {"Account", "Opportunity"} <= set(objects)
    assert "StageName" in fields
    assert call(tried, "describe", "Nothing__c").exit_code != 0


@pytest.mark.parametrize(
    ("expected", "actual", "found"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, None),
        ({"a": 1}, {"a": 2}, "body.a: expected 1, got 2"),
        ({"a": True}, {"a": 1}, "body.a: expected True, got 1"),
        ([{"a": "*"}], [{"a": None}], "body[0].a: is null"),
        ([1], [1, 2], "body: expected 1 elements, got [1, 2]"),
        ({"$has": {"a": 1}}, [{"a": 2}, {"a": 1}], None),
        ({"$absent": ["a"]}, {"a": 1}, "body: has a"),
        ("~^b", "abc", "body: 'abc' does not fit ^b"),
    ],
)
def test_a_comparison_names_the_first_difference(
    expected: object, actual: object, found: str | None
) -> None:
    assert difference(expected, actual) == found


def test_the_tables_travel_with_the_command() -> None:
    import connector.cli.probe.cases as tables

    assert len(list(Path(tables.FOLDER).glob("*.yaml"))) == 9
