"""What a query may say, and how the org answers it (fact sheet C)."""

from typing import Any

import pytest
from org_client import Client


@pytest.fixture
def bills(org: Client) -> Client:
    """An account with four bills, and a case of a queue and one of a user."""
    acme = org.create("Account", Name="Acme", Billing_Key__c="C-1")
    org.create("Contact", LastName="Adam", AccountId=acme)
    for number, status in enumerate(["Draft", "Draft", "Paid"], start=1):
        org.create(
            "Bill__c",
            Key__c=f"B-{number}",
            Account__c=acme,
            Status__c=status,
            Total__c=f"1{number}00.50",
            Due__c=f"2026-0{number}-15",
            Disputed__c=number == 1,
            Sent_At__c=f"2026-0{number}-15T23:30:00Z",
        )
    org.create("Bill__c", Key__c="B-4", Status__c="Paid", Total__c=5)
    return org


def values(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(v for k, v in row.items() if k != "attributes") for row in rows]


class TestGroups:
    def test_rollup_adds_sums_over_the_last_fields(self, bills: Client) -> None:
        rows = bills.query(
            "SELECT Status__c, Disputed__c, COUNT(Id) n, GROUPING(Disputed__c) over "
            "FROM Bill__c GROUP BY ROLLUP(Status__c, Disputed__c) "
            "ORDER BY Status__c NULLS LAST, GROUPING(Disputed__c), Disputed__c"
        )

        assert values(rows) == [
            ("Draft", False, 1, 0),
            ("Draft", True, 1, 0),
            ("Draft", None, 2, 1),
            ("Paid", False, 2, 0),
            ("Paid", None, 2, 1),
            (None, None, 4, 1),
        ]

    def test_cube_adds_sums_over_every_field(self, bills: Client) -> None:
        rows = bills.query(
            "SELECT Status__c, Disputed__c, SUM(Total__c) s FROM Bill__c "
            "GROUP BY CUBE(Status__c, Disputed__c) HAVING COUNT(Id) > 1 ORDER BY SUM(Total__c)"
        )

        assert values(rows) == [
            ("Paid", False, 1305.5),
            ("Paid", None, 1305.5),
            ("Draft", None, 2301.0),
            (None, False, 2506.0),
            (None, None, 3606.5),
        ]

    def test_averages_compare_with_their_decimals(self, bills: Client) -> None:
        soql = "SELECT Status__c FROM Bill__c GROUP BY Status__c HAVING AVG(Total__c) {}"

        assert values(bills.query(soql.format("> 1150.4"))) == [("Draft",)]
        assert values(bills.query(soql.format("> 1150.5"))) == []


class TestTimeZones:
    @pytest.fixture
    def berlin(self, bills: Client) -> Client:
        me = bills.query("SELECT Id FROM User WHERE Username = 'admin@sandbox.example'")[0]["Id"]
        bills.patch(f"/sobjects/User/{me}", {"TimeZoneSidKey": "Europe/Berlin"})
        return bills

    def test_days_begin_where_the_user_is(self, berlin: Client) -> None:
        soql = (
            "SELECT DAY_ONLY(Sent_At__c) utc, DAY_ONLY(convertTimezone(Sent_At__c)) here, "
            "HOUR_IN_DAY(convertTimezone(Sent_At__c)) hour FROM Bill__c WHERE Key__c = 'B-1' "
            "GROUP BY DAY_ONLY(Sent_At__c), DAY_ONLY(convertTimezone(Sent_At__c)), "
            "HOUR_IN_DAY(convertTimezone(Sent_At__c))"
        )

        assert values(berlin.query(soql)) == [("2026-01-15", "2026-01-16", 0)]

    def test_filters_by_the_local_day(self, berlin: Client) -> None:
        soql = "SELECT Key__c FROM Bill__c WHERE DAY_ONLY(convertTimezone(Sent_At__c)) = {}"

        assert values(berlin.query(soql.format("2026-02-16"))) == [("B-2",)]
        assert values(berlin.query(soql.format("2026-02-15"))) == []


class TestTypeOf:
    @pytest.fixture
    def cases(self, bills: Client) -> Client:
        queue = bills.query("SELECT Id FROM Group WHERE DeveloperName = 'Provisioning'")[0]["Id"]
        bills.create("Case", Subject="by queue", OwnerId=queue)
        bills.create("Case", Subject="by user")
        return bills

    def test_shows_what_fits_the_object(self, cases: Client) -> None:
        rows = cases.query(
            "SELECT Subject, TYPEOF Owner WHEN User THEN Username, Profile.Name "
            "WHEN Group THEN DeveloperName END FROM Case ORDER BY Subject"
        )

        queue, user = (row["Owner"] for row in rows)
        assert queue["DeveloperName"] == "Provisioning"
        assert queue["attributes"]["type"] == "Group"
        assert "Username" not in queue
        assert user["Username"] == "admin@sandbox.example"
        assert user["Profile"]["Name"] == "System Administrator"

    def test_falls_back_to_else_or_to_nothing(self, cases: Client) -> None:
        soql = "SELECT TYPEOF Owner WHEN Group THEN Name {} END FROM Case ORDER BY Subject"

        with_else = [row["Owner"] for row in cases.query(soql.format("ELSE Id"))]
        without = [row["Owner"] for row in cases.query(soql.format(""))]

        assert set(with_else[1]) == {"attributes", "Id"}
        assert (without[0]["Name"], without[1]) == ("Provisioning", None)


class TestShownValues:
    def test_formats_labels_and_converts(self, bills: Client) -> None:
        rows = bills.query(
            "SELECT FORMAT(Total__c) money, FORMAT(Due__c) due, FORMAT(Sent_At__c) sent, "
            "toLabel(Status__c), convertCurrency(Total__c) FROM Bill__c WHERE Key__c = 'B-1'"
        )

        assert values(rows) == [("1,100.50", "1/15/2026", "1/15/2026, 11:30 PM", "Draft", 1100.5)]

    def test_filters_by_label(self, bills: Client) -> None:
        rows = bills.query("SELECT Key__c FROM Bill__c WHERE toLabel(Status__c) = 'draft'")

        assert len(rows) == 2


@pytest.mark.parametrize(
    ("tail", "count"),
    [
        ("USING SCOPE everything", 4),
        ("USING SCOPE mine", 4),
        ("USING SCOPE mine WHERE Key__c = 'B-1'", 1),
        ("WITH SECURITY_ENFORCED", 4),
        ("WITH USER_MODE LIMIT 2", 2),
        ("FOR VIEW", 4),
        ("LIMIT 3 FOR REFERENCE", 3),
        ("FOR UPDATE", 4),
        ("UPDATE TRACKING", 4),
        ("ORDER BY Key__c LIMIT 2000 OFFSET 3 FOR VIEW UPDATE VIEWSTAT", 1),
    ],
)
def test_accepts_clauses_that_change_little(bills: Client, tail: str, count: int) -> None:
    assert len(bills.query(f"SELECT Id FROM Bill__c {tail}")) == count


def test_another_user_has_other_records_in_mine(bills: Client, integration: Client) -> None:
    assert integration.query("SELECT Id FROM Bill__c USING SCOPE mine") == []


def test_many_explicit_ids_allow_all_fields(bills: Client) -> None:
    ids = [row["Id"] for row in bills.query("SELECT Id FROM Bill__c")]
    named = ", ".join(f"'{i}'" for i in ids)

    rows = bills.query(f"SELECT FIELDS(ALL) FROM Bill__c WHERE Id IN ({named})")
    standard = bills.query("SELECT FIELDS(STANDARD), Key__c FROM Bill__c")

    assert len(rows) == len(standard) == 4
    assert "Total__c" in rows[0]
    assert "Total__c" not in standard[0]


class TestColumns:
    def test_tells_what_a_query_selects(self, org: Client) -> None:
        soql = "SELECT Id, Total__c, Account__r.Name, (SELECT Amount__c FROM Lines__r) FROM Bill__c"
        told = org.get("/query", params={"q": soql, "columns": "true"}).json()

        assert told["entityName"] == "Bill__c"
        assert (told["idSelected"], told["groupBy"]) == (True, False)
        by_name = {c["columnName"]: c for c in told["columnMetadata"]}
        assert list(by_name) == ["Id", "Total__c", "Account__r", "Lines__r"]
        assert by_name["Total__c"]["apexType"] == "Double"
        assert by_name["Total__c"]["numberType"] is True
        assert [c["columnName"] for c in by_name["Account__r"]["joinColumns"]] == ["Name"]
        assert by_name["Lines__r"]["aggregate"] is True

    def test_tells_groups(self, org: Client) -> None:
        soql = "SELECT Status__c, COUNT(Id) n FROM Bill__c GROUP BY Status__c"
        told = org.get("/query", params={"q": soql, "columns": "true"}).json()

        assert (told["groupBy"], told["idSelected"]) == (True, False)
        assert [c["aggregate"] for c in told["columnMetadata"]] == [True, True]

    def test_refuses_a_bad_query_like_a_query(self, org: Client) -> None:
        answer = org.get("/query", params={"q": "SELECT Foo FROM Account", "columns": "true"})

        assert answer.status_code == 400
        assert answer.json()[0]["errorCode"] == "INVALID_FIELD"


BILL = "SELECT Id FROM Bill__c WHERE "
JOIN = "Account__c IN (SELECT Id FROM Account"


@pytest.mark.parametrize(
    ("soql", "code", "fragment"),
    [
        (f"{BILL}{JOIN}) OR Key__c = 'x'", "MALFORMED_QUERY", "'OR' operator"),
        (f"{BILL}NOT {JOIN})", "MALFORMED_QUERY", "'NOT' operator"),
        (
            f"{BILL}{JOIN}) AND {JOIN}) AND {JOIN})",
            "EXCEEDED_MAX_SEMIJOIN_SUBSELECTS",
            "maximum number of semi join sub-selects is 2",
        ),
        (f"{BILL}{JOIN} LIMIT 1)", "MALFORMED_QUERY", "LIMIT"),
        (f"{BILL}{JOIN} ORDER BY Name)", "MALFORMED_QUERY", "ORDER BY"),
        (f"{BILL}Account__c IN (SELECT COUNT() FROM Account)", "MALFORMED_QUERY", "one id field"),
        (f"{BILL}Account__c IN (SELECT Name FROM Account)", "MALFORMED_QUERY", "only select id"),
        (f"{BILL}Key__c IN (SELECT Id FROM Account)", "INVALID_FIELD", "Key__c"),
        (f"{BILL}Id IN (SELECT Corrects__c FROM Bill__c)", "MALFORMED_QUERY", "same object type"),
        (
            f"{BILL}{JOIN} WHERE Id IN (SELECT AccountId FROM Contact))",
            "MALFORMED_QUERY",
            "Nesting of semi join",
        ),
        ("SELECT Id FROM Bill__c ORDER BY Key__c FOR UPDATE", "MALFORMED_QUERY", "'UPDATE'"),
        ("SELECT (SELECT Id FROM Bills__r FOR UPDATE) FROM Account", "MALFORMED_QUERY", "'UPDATE'"),
        ("SELECT Id FROM Bill__c USING SCOPE nobody", "MALFORMED_QUERY", "'nobody'"),
        ("SELECT Id FROM Bill__c USING SCOPE team", "MALFORMED_QUERY", "TEAM"),
        ("SELECT Id FROM Bill__c WITH DATA CATEGORY x", "MALFORMED_QUERY", "'DATA'"),
        ("SELECT FIELDS(CUSTOM) FROM Bill__c LIMIT 201", "MALFORMED_QUERY", "at most 200"),
        ("SELECT FIELDS(SOME) FROM Bill__c", "MALFORMED_QUERY", "'SOME'"),
        ("SELECT Id, FIELDS(ALL) FROM Bill__c LIMIT 1", "INVALID_FIELD", "duplicate field"),
        ("SELECT COUNT(Id), TYPEOF Owner WHEN User THEN Id END FROM Case", "MALFORMED_QUERY", ""),
        ("SELECT TYPEOF Account WHEN Account THEN Id END FROM Case", "MALFORMED_QUERY", "TYPEOF"),
        ("SELECT TYPEOF Owner WHEN Account THEN Id END FROM Case", "INVALID_TYPE", "'Account'"),
        ("SELECT TYPEOF Owner ELSE Id END FROM Case", "MALFORMED_QUERY", "'ELSE'"),
        ("SELECT TYPEOF Owner WHEN User THEN Foo END FROM Case", "INVALID_FIELD", "'Foo'"),
        ("SELECT COUNT(Id) FROM Bill__c LIMIT 5", "MALFORMED_QUERY", "cannot also use LIMIT"),
        ("SELECT COUNT(), Id FROM Bill__c", "MALFORMED_QUERY", "only element"),
        (
            "SELECT Total__c FROM Bill__c GROUP BY Total__c",
            "MALFORMED_QUERY",
            "field 'Total__c' can not be grouped",
        ),
        (
            "SELECT Status__c FROM Bill__c GROUP BY Status__c ORDER BY Key__c",
            "MALFORMED_QUERY",
            "Ordered field must be grouped or aggregated: Key__c",
        ),
        (
            "SELECT Status__c FROM Bill__c GROUP BY Status__c HAVING Key__c = 'x'",
            "MALFORMED_QUERY",
            "must be grouped or aggregated: Key__c",
        ),
        (
            "SELECT GROUPING(Key__c) g FROM Bill__c GROUP BY ROLLUP(Status__c)",
            "MALFORMED_QUERY",
            "Grouping function",
        ),
        (
            "SELECT COUNT(Id) FROM Bill__c GROUP BY CUBE(Status__c, Key__c, Due__c, Id)",
            "MALFORMED_QUERY",
            "at most 3",
        ),
        (
            "SELECT Key__c k, COUNT(Id) k FROM Bill__c GROUP BY Key__c",
            "MALFORMED_QUERY",
            "alias: k",
        ),
        ("SELECT Id FROM Bill__c ORDER BY Channels__c", "MALFORMED_QUERY", "can not be sorted"),
        ("SELECT MAX(Disputed__c) FROM Bill__c", "MALFORMED_QUERY", "MAX not supported"),
        (f"{BILL}HOUR_IN_DAY(Due__c) = 1", "INVALID_FIELD", "Invalid date function"),
        (f"{BILL}CALENDAR_YEAR(convertTimezone(Due__c)) = 1", "INVALID_FIELD", "date function"),
        (f"{BILL}Key__c = '10\\%'", "MALFORMED_QUERY", "Illegal string"),
        (f"{BILL}Key__c = '{'x' * 4_001}'", "MALFORMED_QUERY", "4000"),
        (f"{BILL}Total__c LIKE '1%'", "INVALID_QUERY_FILTER_OPERATOR", "LIKE"),
        (f"{BILL}Key__c INCLUDES ('x')", "INVALID_QUERY_FILTER_OPERATOR", "INCLUDES"),
        (
            "SELECT Id, (SELECT Id FROM Bills__r LIMIT 1 OFFSET 1) FROM Account",
            "MALFORMED_QUERY",
            "OFFSET",
        ),
        (
            "SELECT Parent.Parent.Parent.Parent.Parent.Parent.Name FROM Account",
            "MALFORMED_QUERY",
            "5 levels",
        ),
    ],
)
def test_refuses_what_salesforce_refuses(org: Client, soql: str, code: str, fragment: str) -> None:
    error = org.refused(soql)

    assert error["errorCode"] == code, error
    assert fragment in error["message"]
    assert "ERROR at Row:1:Column:" in error["message"]


def test_what_came_with_later_versions_is_refused_before(org: Client) -> None:
    nested = "SELECT Id, (SELECT Id, (SELECT Id FROM Lines__r) FROM Bills__r) FROM Account"
    for soql, version in (("SELECT FIELDS(STANDARD) FROM Account", "50.0"), (nested, "57.0")):
        before = org.get(f"/services/data/v{version}/query", params={"q": soql})
        now = org.get("/services/data/v60.0/query", params={"q": soql})

        assert (before.status_code, now.status_code) == (400, 200), now.text


def test_an_error_points_into_the_right_line(org: Client) -> None:
    error = org.refused("SELECT Id\nFROM Account\nWHERE  Foo = 1")

    assert error["message"].startswith("\nWHERE  Foo = 1\n       ^\nERROR at Row:3:Column:8\n")
