"""Queries (fact sheet C)."""

from typing import Any

import pytest
from org_client import Client


@pytest.fixture
def sales(org: Client) -> Client:
    """Two accounts with contacts and bills."""
    acme = org.create("Account", Name="Acme", BillingCity="Berlin", Billing_Key__c="C-1")
    beta = org.create("Account", Name="beta", Phone="123", ParentId=acme)
    for name, account in (("Adam", acme), ("Berta", acme), ("Cäsar", beta)):
        org.create("Contact", LastName=name, AccountId=account, Email=f"{name[0]}@x.de")
    org.create("Contact", LastName="O'Neil 100%")
    for number, status in enumerate(["Draft", "Draft", "Paid"], start=1):
        org.create(
            "Bill__c",
            Key__c=f"B-{number}",
            Account__c=acme,
            Status__c=status,
            Total__c=f"{number}0.10",
            Due__c=f"2026-0{number}-15",
            Channels__c="Mail;Portal" if number == 1 else "Post",
        )
    org.create("Bill__c", Key__c="B-4")
    return org


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Name = 'ACME'", ["Acme"]),
        ("Name != 'acme'", ["beta"]),
        ("Phone != '999'", ["Acme", "beta"]),
        ("Phone = null", ["Acme"]),
        ("Phone = ''", ["Acme"]),
        ("Phone != null", ["beta"]),
        ("NOT Phone = '123'", ["Acme"]),
        ("Name LIKE 'A%'", ["Acme"]),
        ("Name LIKE '_eta'", ["beta"]),
        ("Name IN ('acme', 'x')", ["Acme"]),
        ("Name NOT IN ('acme')", ["beta"]),
        ("Phone NOT IN ('123')", ["Acme"]),
        ("Parent.Name = 'Acme'", ["beta"]),
        ("Parent.Name = null", ["Acme"]),
        ("Parent.Parent.Owner.Profile.Name = null", ["Acme", "beta"]),
        ("Id IN (SELECT AccountId FROM Contact WHERE LastName = 'Adam')", ["Acme"]),
        ("Id NOT IN (SELECT Account__c FROM Bill__c)", ["beta"]),
        ("(Name = 'x' OR Name = 'beta') AND Phone = '123'", ["beta"]),
        ("CreatedDate = TODAY", ["Acme", "beta"]),
        ("CreatedDate > TODAY", []),
        ("CreatedDate >= LAST_N_DAYS:3 AND CreatedDate < TOMORROW", ["Acme", "beta"]),
        ("CreatedDate = LAST_MONTH", []),
        ("SystemModstamp > 2020-01-01T00:00:00Z", ["Acme", "beta"]),
        ("SystemModstamp < 2020-01-01T02:00:00+02:00", []),
        ("IsDeleted = false", ["Acme", "beta"]),
        ("IsPersonAccount = true", []),
        ("Owner.Username = 'admin@sandbox.example'", ["Acme", "beta"]),
    ],
)
def test_filters_accounts(sales: Client, where: str, expected: list[str]) -> None:
    rows = sales.query(f"SELECT Name FROM Account WHERE {where} ORDER BY Name")

    assert [row["Name"] for row in rows] == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Total__c = 10.1", ["B-1"]),
        ("Total__c = 10.101", []),
        ("Total__c > 10.0999", ["B-1", "B-2", "B-3"]),
        ("Total__c >= 20.10", ["B-2", "B-3"]),
        ("Total__c < 20.101", ["B-1", "B-2"]),
        ("Total__c <= 1e30", ["B-1", "B-2", "B-3"]),
        ("Total__c > -1e-30", ["B-1", "B-2", "B-3"]),
        ("Total__c IN (10.10, 30.1)", ["B-1", "B-3"]),
        ("Total__c > EUR20", ["B-2", "B-3"]),
        ("Due__c = 2026-02-15", ["B-2"]),
        ("Due__c > 2026-02-15", ["B-3"]),
        ("CALENDAR_MONTH(Due__c) = 3", ["B-3"]),
        ("Channels__c INCLUDES ('mail;portal', 'x')", ["B-1"]),
        ("Channels__c EXCLUDES ('Post')", ["B-1", "B-4"]),
        ("Account__r.Billing_Key__c = 'c-1' AND Status__c = 'Draft'", ["B-1", "B-2"]),
        ("Account__c = null", ["B-4"]),
        ("Disputed__c = FALSE", ["B-1", "B-2", "B-3", "B-4"]),
    ],
)
def test_filters_bills(sales: Client, where: str, expected: list[str]) -> None:
    rows = sales.query(f"SELECT Key__c FROM Bill__c WHERE {where} ORDER BY Key__c")

    assert [row["Key__c"] for row in rows] == expected


def test_quotes_and_wildcards_are_escaped(sales: Client) -> None:
    by_quote = sales.query(r"SELECT LastName FROM Contact WHERE LastName = 'O\'Neil 100%'")
    by_percent = sales.query(r"SELECT LastName FROM Contact WHERE LastName LIKE '%100\%'")
    literal = sales.query(r"SELECT LastName FROM Contact WHERE LastName LIKE '%10\%'")

    assert [r["LastName"] for r in by_quote] == ["O'Neil 100%"]
    assert by_percent == by_quote
    assert literal == []


def test_shows_parents_children_and_nulls(sales: Client) -> None:
    rows = sales.query(
        "SELECT a.Name, Parent.Name, Owner.Name, BillingAddress, "
        "(SELECT LastName, Account.Name FROM Contacts ORDER BY LastName DESC LIMIT 1), "
        "(SELECT Key__c FROM Bills__r WHERE Total__c > 15 ORDER BY Key__c) "
        "FROM Account a ORDER BY a.Name"
    )

    acme, beta = rows
    assert next(iter(acme)) == "attributes"
    assert (acme["Parent"], beta["Parent"]["Name"]) == (None, "Acme")
    assert beta["Parent"]["attributes"]["type"] == "Account"
    assert acme["Owner"]["Name"] == "Ada Admin"
    assert acme["BillingAddress"]["city"] == "Berlin"
    assert beta["BillingAddress"] is None
    assert [c["LastName"] for c in acme["Contacts"]["records"]] == ["Berta"]
    assert acme["Contacts"]["records"][0]["Account"]["Name"] == "Acme"
    assert [b["Key__c"] for b in acme["Bills__r"]["records"]] == ["B-2", "B-3"]
    assert beta["Bills__r"] is None


def test_children_of_children(sales: Client) -> None:
    bill = sales.query("SELECT Id FROM Bill__c WHERE Key__c = 'B-1'")[0]["Id"]
    sales.create("Bill_Line__c", Bill__c=bill, Amount__c=7)

    rows = sales.query(
        "SELECT Name, (SELECT Key__c, (SELECT Amount__c FROM Lines__r) FROM Bills__r "
        "ORDER BY Key__c) FROM Account WHERE Name = 'Acme'"
    )

    bills = rows[0]["Bills__r"]["records"]
    assert [b["Lines__r"] and b["Lines__r"]["records"][0]["Amount__c"] for b in bills] == [
        7.0,
        None,
        None,
    ]


class TestAggregates:
    def test_counts_without_rows(self, sales: Client) -> None:
        answer = sales.get("/query", params={"q": "select count() from Contact limit 3"}).json()

        assert answer == {"totalSize": 3, "done": True, "records": []}

    def test_groups_and_names_what_has_no_alias(self, sales: Client) -> None:
        rows = sales.query(
            "SELECT Status__c, COUNT(Id), SUM(Total__c) total, MIN(Due__c), MAX(Total__c), "
            "AVG(Total__c) FROM Bill__c WHERE Total__c != null GROUP BY Status__c "
            "HAVING COUNT(Id) > 1"
        )

        assert rows == [
            {
                "attributes": {"type": "AggregateResult"},
                "Status__c": "Draft",
                "expr0": 2,
                "total": 30.2,
                "expr1": "2026-01-15",
                "expr2": 20.1,
                "expr3": 15.1,
            }
        ]

    def test_counts_distinct_values_and_groups_by_parents_and_months(self, sales: Client) -> None:
        distinct = sales.query("SELECT COUNT_DISTINCT(Status__c) n FROM Bill__c")
        parents = sales.query(
            "SELECT Account__r.Name, COUNT(Id) n FROM Bill__c GROUP BY Account__r.Name "
            "ORDER BY COUNT(Id) DESC"
        )
        months = sales.query(
            "SELECT CALENDAR_YEAR(Due__c) y, COUNT(Id) n FROM Bill__c WHERE Due__c != null "
            "GROUP BY CALENDAR_YEAR(Due__c)"
        )

        assert distinct[0]["n"] == 2
        assert [(r["Name"], r["n"]) for r in parents] == [("Acme", 3), (None, 1)]
        assert [(r["y"], r["n"]) for r in months] == [(2026, 3)]


class TestOrderAndPages:
    def test_orders_nulls_as_told(self, sales: Client) -> None:
        def keys(order: str) -> list[str]:
            rows = sales.query(f"SELECT Key__c FROM Bill__c ORDER BY Total__c {order}")
            return [row["Key__c"] for row in rows]

        assert keys("") == ["B-4", "B-1", "B-2", "B-3"]
        assert keys("NULLS LAST") == ["B-1", "B-2", "B-3", "B-4"]
        assert keys("DESC") == ["B-4", "B-3", "B-2", "B-1"]
        assert keys("DESC NULLS LAST LIMIT 2 OFFSET 1") == ["B-2", "B-1"]

    def test_pages_keep_the_ids_of_the_first_answer(self, org: Client) -> None:
        for start in range(0, 600, 200):
            rows = [
                {"attributes": {"type": "Wide__c"}, "Key__c": f"{n:04}"}
                for n in range(start, start + 200)
            ]
            org.post("/composite/sobjects", {"records": rows})
        headers = {"Sforce-Query-Options": "batchSize=250"}
        soql = {"q": "SELECT Key__c FROM Wide__c ORDER BY Key__c"}
        first = org.get("/query", params=soql, headers=headers).json()
        org.patch("/sobjects/Wide__c/Key__c/0599", {"Text_01__c": "changed"})
        org.delete("/sobjects/Wide__c/Key__c/0300")
        second = org.get(first["nextRecordsUrl"], headers=headers).json()
        third = org.get(second["nextRecordsUrl"], headers=headers).json()

        keys = [r["Key__c"] for page in (first, second, third) for r in page["records"]]
        assert [p["totalSize"] for p in (first, second, third)] == [600, 600, 600]
        assert [p["done"] for p in (first, second, third)] == [False, False, True]
        assert "nextRecordsUrl" not in third
        assert keys == [f"{n:04}" for n in range(600) if n != 300]

    def test_unknown_locators_are_refused(self, org: Client, integration: Client) -> None:
        for locator in ("01gSb0000000001AAA-2000", "nonsense", "-1"):
            answer = org.get(f"/query/{locator}")
            assert answer.status_code == 400
            assert answer.json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"

    def test_query_all_shows_the_recycle_bin(self, org: Client) -> None:
        account = org.create("Account", Name="A")
        org.delete(f"/sobjects/Account/{account}")
        soql = {"q": "SELECT Id, IsDeleted FROM Account"}

        assert org.query(soql["q"]) == []
        records = org.get("/queryAll", params=soql).json()["records"]
        assert [(r["Id"], r["IsDeleted"]) for r in records] == [(account, True)]


@pytest.mark.parametrize(
    ("soql", "code", "fragment"),
    [
        ("SELECT Id FROM Foo", "INVALID_TYPE", "sObject type 'Foo' is not supported."),
        ("SELECT Foo FROM Account", "INVALID_FIELD", "No such column 'Foo' on entity 'Account'."),
        ("SELECT Foo.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Foo'"),
        ("SELECT Id, id FROM Account", "INVALID_FIELD", "duplicate field selected: id"),
        ("SELECT Id FROM", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT FROM Account", "MALFORMED_QUERY", "unexpected token"),
        ('SELECT Id FROM Account WHERE Name = "x"', "MALFORMED_QUERY", "no viable alternative"),
        ("SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "must be of type string"),
        (
            "SELECT Id FROM Account WHERE Id = 'abc'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "invalid ID field: abc",
        ),
        (
            "SELECT Id FROM Account WHERE CreatedDate > '2026-01-01T00:00:00Z'",
            "INVALID_FIELD",
            "value of filter criterion for field 'CreatedDate' must be of type dateTime and should "
            "not be enclosed in quotes",
        ),
        (
            "SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'",
            "MALFORMED_QUERY",
            "'OR'",
        ),
        ("SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Id FROM Account LIMIT x", "MALFORMED_QUERY", "unexpected token: 'x'"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
        ("SELECT Id, (SELECT Id FROM Foos) FROM Account", "INVALID_TYPE", "Didn't understand"),
        (
            "SELECT Name, COUNT(Id) FROM Account",
            "MALFORMED_QUERY",
            "must be grouped or aggregated: Name",
        ),
        ("SELECT SUM(Name) FROM Account", "MALFORMED_QUERY", "SUM not supported"),
        ("SELECT Id FROM Account WHERE CreatedDate = SOMETIME", "MALFORMED_QUERY", "SOMETIME"),
        ("SELECT Id FROM ContentDocumentLink", "MALFORMED_QUERY", "Implementation restriction"),
        ("SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY", "LIMIT"),
        ("SELECT Id FROM Account WHERE Name = '\\q'", "MALFORMED_QUERY", "Illegal string"),
        ("", "MALFORMED_QUERY", ""),
    ],
)
def test_refuses_what_it_does_not_understand(
    org: Client, soql: str, code: str, fragment: str
) -> None:
    error = org.refused(soql)

    assert error["errorCode"] == code
    assert fragment in error["message"]


def test_an_error_points_to_its_place(org: Client) -> None:
    error = org.refused("select count() from XYZZY")

    assert error["message"].startswith(
        "\nselect count() from XYZZY\n                    ^\nERROR at Row:1:Column:21\n"
    )


def test_selects_all_fields(org: Client) -> None:
    org.create("Bill__c", Key__c="1")

    everything = org.query("SELECT FIELDS(ALL) FROM Bill__c LIMIT 1")[0]
    custom = org.query("SELECT FIELDS(CUSTOM) FROM Bill__c LIMIT 1")[0]

    assert {"Id", "Key__c", "SystemModstamp"} <= set(everything)
    assert all(name.endswith("__c") for name in custom if name != "attributes")


def test_polymorphic_parents(org: Client) -> None:
    queue = org.query("SELECT Id FROM Group WHERE DeveloperName = 'Provisioning'")[0]["Id"]
    org.create("Case", Subject="by queue", OwnerId=queue)
    org.create("Case", Subject="by user")

    rows = org.query("SELECT Subject, Owner.Name, Owner.Type FROM Case ORDER BY Subject")
    only: list[Any] = org.query("SELECT Id FROM Case WHERE Owner.Type = 'Group'")

    assert [(r["Owner"]["Name"], r["Owner"]["Type"]) for r in rows] == [
        ("Provisioning", "Group"),
        ("Ada Admin", "User"),
    ]
    assert rows[0]["Owner"]["attributes"]["type"] == "Group"
    assert len(only) == 1


def test_the_same_query_for_another_id_finds_another_record(sales: Client) -> None:
    found = {record["Name"]: record["Id"] for record in sales.query("SELECT Id, Name FROM Account")}
    for name in ("Acme", "beta", "Acme"):
        (record,) = sales.query(f"SELECT Name FROM Account WHERE Id = '{found[name]}'")
        assert record["Name"] == name
    (child,) = sales.query(f"SELECT Name FROM Account WHERE ParentId = '{found['Acme']}'")
    assert child["Name"] == "beta"


def test_text_that_looks_like_an_id_is_compared_as_text(sales: Client) -> None:
    looks = "001Sb0000000001IAA"
    sales.create("Account", Name=looks)
    sales.create("Account", Name=f"{looks} and more")
    assert len(sales.query(f"SELECT Id FROM Account WHERE Name = '{looks}'")) == 1
    assert len(sales.query(f"SELECT Id FROM Account WHERE Name = '{looks.lower()}'")) == 1
    assert len(sales.query(f"SELECT Id FROM Account WHERE Name LIKE '{looks}'")) == 1
    assert sales.query(f"SELECT Id FROM Account WHERE Name LIKE '{looks[:-1]}B'") == []


def test_a_refused_query_shows_the_id_that_was_sent(sales: Client) -> None:
    sent = f"SELECT Id FROM Account WHERE CreatedDate = '{sales.create('Account', Name='x')}'"
    assert sent in sales.refused(sent)["message"]
