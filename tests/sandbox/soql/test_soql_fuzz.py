"""Whatever follows the grammar, or nearly: an answer or an error of Salesforce's, never a bug."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from l2c_sandbox.errors import ApiError
from l2c_sandbox.org import Org, OrgSettings

SEED = """
Account:
  - {Name: Acme, BillingCity: Berlin, Billing_Key__c: C-1}
  - {Name: Beta}
Contact:
  - {LastName: Adam, Account: {Billing_Key__c: C-1}}
Bill__c:
  - {Key__c: B-1, Account__r: {Billing_Key__c: C-1}, Total__c: 10.5, Due__c: 2026-01-15}
  - {Key__c: B-2, Channels__c: Mail;Portal}
"""
BASE = "/services/data/v60.0"
SCHEMA = Path(__file__).parent.parent / "schema"
OBJECTS = ["Account", "Bill__c", "Contact", "Case", "Task", "User", "ContentDocumentLink", "Foo"]
RELATIONS = ["Bills__r", "Contacts", "Lines__r", "ChildAccounts", "Cases", "Tasks", "Foos__r"]
PATHS = [
    "Id", "Name", "Owner.Name", "Owner.Type", "What.Name", "Who.Type", "Account.Owner.Name",
    "Account__r.Parent.Name", "Parent.Parent.Parent.Parent.Parent.Name", "Total__c", "Due__c",
    "Status__c", "Channels__c", "Disputed__c", "Sent_At__c", "Notes__c", "CreatedDate",
    "BillingAddress", "Account__c", "OwnerId", "IsDeleted", "Corrects__r.Key__c", "Line_Total__c",
    "VersionData", "Foo", "Foo__r.Name", "a.Name",
]  # fmt: skip
FUNCTIONS = [
    "COUNT", "COUNT_DISTINCT", "SUM", "AVG", "MIN", "MAX", "CALENDAR_YEAR", "FISCAL_QUARTER",
    "DAY_ONLY", "HOUR_IN_DAY", "WEEK_IN_YEAR", "FORMAT", "toLabel", "convertCurrency", "GROUPING",
    "convertTimezone", "DISTANCE",
]  # fmt: skip
LITERALS = [
    "null", "TRUE", "'x'", "''", "'a\\'b'", "'\\q'", "'%_'", "'001000000000000AAA'", "0", "-1.5",
    "1e400", "9" * 30, "EUR5.5", "2026-02-30", "2026-01-31", "0001-01-01", "9999-12-31",
    "2026-01-31T10:00:00Z", "9999-12-31T23:59:59-12:00", "TODAY", "LAST_N_DAYS:3",
    "NEXT_N_YEARS:99999", "N_WEEKS_AGO:999999", "THIS_FISCAL_QUARTER", "SOMEDAY", "\u00e9",
]  # fmt: skip
OPERATORS = ["=", "!=", "<>", "<", "<=", ">", ">=", "LIKE", "IN", "NOT IN", "INCLUDES", "EXCLUDES"]

path = st.sampled_from(PATHS)
function = st.sampled_from(FUNCTIONS)
call = st.builds("{}({})".format, function, path)
zoned = st.builds("{}(convertTimezone({}))".format, function, path)
operand = st.one_of(path, path, call, zoned, st.just("COUNT()"))
literal = st.sampled_from(LITERALS)
literals = st.lists(literal, min_size=1, max_size=3).map(lambda v: f"({', '.join(v)})")


def comparison(left: str, operator: str, one: str, many: str) -> str:
    return f"{left} {operator} {many if operator[-2:] in {'IN', 'ES'} else one}"


test = st.builds(comparison, operand, st.sampled_from(OPERATORS), literal, literals)
semi = st.builds(
    "{} {} (SELECT {} FROM {} WHERE {})".format,
    path,
    st.sampled_from(["IN", "NOT IN"]),
    path,
    st.sampled_from(OBJECTS),
    test,
)
condition = st.recursive(
    test | semi,
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("{} OR {}".format, inner, inner),
        st.builds("NOT ({})".format, inner),
    ),
    max_leaves=5,
)
type_of = st.builds(
    "TYPEOF {} WHEN {} THEN {} {} END".format,
    st.sampled_from(["Owner", "What", "Who", "Account", "Foo"]),
    st.sampled_from(["User", "Group", "Account", "Foo"]),
    path,
    st.sampled_from(["", "ELSE Name", "ELSE Id, Type", "ELSE Owner.Name"]),
)
group = st.sampled_from(["FIELDS(ALL)", "FIELDS(STANDARD)", "FIELDS(CUSTOM)", "FIELDS(X)"])
order = st.builds(
    "{} {}".format, operand, st.sampled_from(["", "DESC", "ASC NULLS LAST", "DESC NULLS FIRST"])
)
keys = st.lists(path | call | zoned, min_size=1, max_size=4).map(", ".join)
tail = st.tuples(
    st.sampled_from(["", "", "USING SCOPE mine", "USING SCOPE team", "a"]),
    st.one_of(st.just(""), condition.map("WHERE {}".format)),
    st.one_of(
        st.just(""),
        st.just(""),
        st.builds("GROUP BY {}".format, keys),
        st.builds("GROUP BY ROLLUP({}) HAVING {}".format, keys, test),
        st.builds("GROUP BY CUBE({})".format, keys),
    ),
    st.one_of(st.just(""), st.lists(order, min_size=1, max_size=3).map(
        lambda o: "ORDER BY " + ", ".join(o)
    )),
    st.sampled_from(["", "", "LIMIT 1", "LIMIT 200 OFFSET 3", "OFFSET 9999", "LIMIT 0"]),
    st.sampled_from(["", "", "FOR UPDATE", "FOR VIEW", "UPDATE TRACKING", "FOR"]),
).map(" ".join)  # fmt: skip


def selection(item: st.SearchStrategy[str], source: list[str]) -> st.SearchStrategy[str]:
    return st.builds(
        "SELECT {} FROM {} {}".format,
        st.lists(item, min_size=1, max_size=4).map(", ".join),
        st.sampled_from(source),
        tail,
    )


aliased = st.builds("{} {}".format, operand, st.sampled_from(["", "", "x", "total"]))
plain = st.one_of(path, path, aliased, group, type_of)
child = selection(plain, RELATIONS).map("({})".format)
nested = selection(plain | child, RELATIONS).map("({})".format)
query = selection(plain | child | nested, OBJECTS)
# Queries of bills in which everything fits.
GOOD = [
    "Id", "Key__c", "Name", "Owner.Name", "Account__r.Name", "Account__r.Owner.Profile.Name",
    "Total__c", "Due__c", "Status__c", "Channels__c", "Disputed__c", "Sent_At__c",
    "Corrects__r.Key__c", "Corrects__r.Account__r.BillingAddress", "Line_Total__c", "Notes__c",
]  # fmt: skip
KEYS = [
    "Status__c", "Key__c", "Disputed__c", "CALENDAR_MONTH(Due__c)", "Account__r.Name",
    "HOUR_IN_DAY(convertTimezone(Sent_At__c))", "DAY_ONLY(Sent_At__c)", "Owner.Name", "Due__c",
]  # fmt: skip
SUMS = [
    "COUNT(Id)", "SUM(Total__c)", "AVG(Total__c)", "MIN(Due__c)", "MAX(Account__r.Name)",
    "COUNT_DISTINCT(Channels__c)", "SUM(Line_Total__c)", "MAX(Sent_At__c)",
]  # fmt: skip
HOLDS = [
    "Key__c LIKE 'b%'", "Total__c > 9.99", "Total__c NOT IN (1, 1e400)", "Due__c = THIS_YEAR",
    "Due__c < 2026-02-01", "Sent_At__c != LAST_N_DAYS:9", "Sent_At__c <= 2026-01-01T00:00:00+01:00",
    "Channels__c INCLUDES ('Mail;Portal','x')", "Channels__c EXCLUDES ('')", "Disputed__c = FALSE",
    "Account__r.Name = 'acme'", "Account__r.Parent.Name = null", "toLabel(Status__c) = 'draft'",
    "CALENDAR_YEAR(convertTimezone(Sent_At__c)) >= 2026", "Due__c > NEXT_N_YEARS:99999",
    "Due__c < N_MONTHS_AGO:999999", "Id != ''", "Total__c = -1e-9", "DAY_ONLY(Sent_At__c) = TODAY",
]  # fmt: skip
holds = st.recursive(
    st.sampled_from(HOLDS),
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("({} OR {})".format, inner, inner),
        st.builds("(NOT {})".format, inner),
    ),
    max_leaves=6,
)
joined = st.builds(
    "{} AND Account__c {} (SELECT AccountId FROM Contact WHERE LastName != 'x')".format,
    holds,
    st.sampled_from(["IN", "NOT IN"]),
)
where = st.one_of(st.just(""), st.builds("WHERE {}".format, holds | joined))
sort = st.sampled_from(["", "DESC", "ASC NULLS LAST", "DESC NULLS LAST"])


def listed(pool: list[str], most: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pool), min_size=1, max_size=most, unique=True).map(", ".join)


good_child = st.builds(
    "(SELECT Code__c, Bill__r.Key__c FROM Lines__r {} LIMIT {})".format,
    st.sampled_from(["", "WHERE Amount__c > 1", "ORDER BY Code__c DESC"]),
    st.integers(0, 5),
)
good_rows = st.builds(
    "SELECT {}, {}, FORMAT(Total__c) f FROM Bill__c {} ORDER BY {} {} LIMIT {} OFFSET {}".format,
    listed(GOOD, 5),
    good_child,
    where,
    st.sampled_from(KEYS),
    sort,
    st.integers(0, 9),
    st.integers(0, 3),
)
good_groups = listed(KEYS, 3).flatmap(
    lambda keys: st.builds(
        "SELECT {} FROM Bill__c {} GROUP BY {} HAVING {} ORDER BY {} {}".format,
        listed(SUMS, 4),
        where,
        st.sampled_from([keys, f"ROLLUP({keys})", f"CUBE({keys})"]),
        st.sampled_from(["COUNT(Id) > 0", "SUM(Total__c) != null", "AVG(Total__c) < 1e400"]),
        st.sampled_from(SUMS),
        sort,
    )
)
good = good_rows | good_groups
# A query with some of its words gone or doubled.
broken = st.builds(
    lambda text, cut, shift: " ".join(text.split(" ")[:cut] + text.split(" ")[cut + shift :]),
    query | good,
    st.integers(0, 30),
    st.integers(-3, 3),
)


@pytest.fixture(scope="module")
def engine_org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Org]:
    seed = tmp_path_factory.mktemp("seed") / "seed.yaml"
    seed.write_text(SEED)
    org = Org(OrgSettings(schema=SCHEMA, seed=seed))
    yield org
    org.close()


@settings(max_examples=150)
@given(soql=good)
def test_what_fits_is_answered(engine_org: Org, soql: str) -> None:
    page = engine_org.queries.query(
        soql, base=BASE, user_id="005Sb0000000001AAA", include_deleted=False, batch=200
    )

    assert page["totalSize"] == len(page["records"])


@settings(max_examples=250)
@given(soql=query | broken)
def test_a_query_is_answered_or_refused(engine_org: Org, soql: str) -> None:
    user_id = "005Sb0000000001AAA"
    refusal = None
    try:
        engine_org.queries.query(soql, base=BASE, user_id=user_id, include_deleted=False, batch=200)
    except ApiError as error:
        refusal = (error.status, error.code.replace("_", "").isalpha())

    assert refusal in {None, (400, True)}
