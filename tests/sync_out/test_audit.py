"""`l2c audit`: an org's services against invoices; nothing is installed, nothing is written."""

import csv
import io
import json
from pathlib import Path

import psycopg
import pytest

from connector.adapters.salesforce.client import Collection, OrgClient
from connector.adapters.salesforce.errors import OrgReadOnly
from connector.adapters.salesforce.login import ClientCredentials, Login
from connector.cli.main import main

SECRET = "AUDITED_ORG_SECRET"
HEADER = "service,account,amount,currency,date\n"


@pytest.fixture
def account(crm) -> str:
    return crm.create("Account", Name="Dental Group")


@pytest.fixture
def service(crm, account):
    """Enter a service in the org."""

    def make(
        key: str, *, price: str | None = "10.00", status: str = "In Service", currency: str = "EUR"
    ) -> None:
        crm.create(
            "L2C_Service__c", Name=key, Account__c=account, Fulfillment_Status__c=status,
            MRR__c=price, Currency__c=currency,
        )  # fmt: skip

    return make


@pytest.fixture
def run(org, monkeypatch, tmp_path, capsys):
    """Run `l2c audit` in an empty folder; return exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SECRET, org.client_secret)

    def call(*words: str, invoices: object) -> tuple[int, str, str]:
        login = ("--org", org.base_url, "--client-id", org.client_id)
        secret = ("--client-secret-env", SECRET)
        capsys.readouterr()  # what was said while the org was filled
        with pytest.raises(SystemExit) as ended:
            main(["audit", *login, *secret, "--invoices", str(invoices), *words])
        said = capsys.readouterr()
        return int(str(ended.value.code)), said.out, said.err

    return call


@pytest.fixture
def billed(tmp_path):
    """Write a CSV file of invoice lines."""

    def write(*lines: str, header: str = HEADER) -> Path:
        file = tmp_path / "invoices.csv"
        file.write_text(header + "\n".join(lines), encoding="utf-8")
        return file

    return write


def _found(out: str) -> dict[str, list[str]]:
    kinds: dict[str, list[str]] = {}
    for line in csv.DictReader(io.StringIO(out)):
        kinds.setdefault(line["kind"], []).append(line["service"] or line["difference"])
    return kinds


def test_what_is_billed_as_it_is_sold_gives_no_finding(run, service, billed, account):
    service("S-1", price="12.50")

    code, out, _ = run(invoices=billed(f"S-1,{account},12.50,EUR,2026-06-30"))

    assert code == 0
    assert "EUR: 12.50 a month by the CRM, 12.50 billed, difference 0.00." in out


def test_each_kind_of_leak_is_named(run, service, billed, account):
    for key in ("unbilled", "right", "in dollars"):
        service(key)
    service("ceased", status="Expired")
    service("never priced", currency="")

    code, out, _ = run(
        "--format",
        "csv",
        invoices=billed(
            f"right,{account},10,EUR,",
            f"ceased,{account},7.77,EUR,",
            f"in dollars,{account},10,USD,",
            f"nobody's,{account},0.01,EUR,",
        ),
    )

    assert code == 1
    assert _found(out) == {
        "not billed": ["unbilled"],
        "billed but ceased": ["ceased"],
        "billed but unknown in the CRM": ["nobody's"],
        "billed in another currency": ["in dollars"],
        "no price or currency in the CRM": ["never priced"],
        "account differs": ["-12.22", "10"],
    }


@pytest.mark.parametrize(
    ("currency", "price", "billed_as", "said"),
    [
        ("EUR", "142.8", "49", "EUR: 142.80 a month by the CRM, 49.00 billed, difference -93.80."),
        ("EUR", "0.3", "0.301", "EUR: 0.30 a month by the CRM, 0.301 billed, difference 0.001."),
        ("JPY", "980", "980.0", "JPY: 980 a month by the CRM, 980 billed, difference 0."),
        ("KWD", "1.5", "2", "KWD: 1.500 a month by the CRM, 2.000 billed, difference 0.500."),
    ],
)
def test_sums_are_shown_with_the_places_of_their_currency_or_more(
    run, service, billed, account, currency, price, billed_as, said
):
    service("S-1", price=price, currency=currency)

    _, out, _ = run(invoices=billed(f"S-1,{account},{billed_as},{currency},"))

    assert said in out


def test_a_service_in_no_currency_at_all_is_told(run, service, billed, account):
    service("S-1", currency="ABC")
    service("S-2")

    code, out, _ = run(invoices=billed(f"S-2,{account},10,EUR,"))

    assert code == 1
    assert "S-1 Dental Group: ABC, 0 expected, 0 billed, difference 0" in out


def test_a_tenth_of_a_cent_is_not_lost(run, service, billed, account):
    service("S-1", price="0.30")

    code, out, _ = run(
        "--json", invoices=billed(*[f"S-1,{account},0.1,EUR,"] * 2, f"S-1,{account},0.101,EUR,")
    )

    (finding,) = json.loads(out)["findings"]
    assert code == 1
    assert (finding["expected"], finding["billed"]) == ("0.30", "0.301")


@pytest.mark.parametrize(
    ("currency", "sold", "paid", "said"),
    [
        ("EUR", "142.8", "49", "142.80 expected, 49.00 billed, difference -93.80"),
        ("EUR", "142.8", "49.005", "142.80 expected, 49.005 billed, difference -93.795"),
        ("JPY", "1000", "900", "1000 expected, 900 billed, difference -100"),
    ],
)
def test_amounts_are_shown_with_the_places_of_their_currency(
    run, service, billed, account, currency, sold, paid, said
):
    service("S-1", price=sold, currency=currency)

    _, out, _ = run(invoices=billed(f"S-1,{account},{paid},{currency},"))

    assert f"  Dental Group: {currency}, {said}" in out


def test_what_is_no_currency_has_no_places(run, service, billed, account):
    service("S-1", price="1000", currency="PTS")

    _, out, _ = run(invoices=billed(f"S-2,{account},5,EUR,"))

    assert "  S-1 Dental Group: PTS, 0 expected, 0 billed, difference 0" in out


def test_accounts_alone_are_compared_when_lines_name_no_service(run, service, billed, account):
    service("S-1")
    service("S-2")

    code, out, _ = run(
        "--format",
        "csv",
        invoices=billed(f"{account[:15]};15.00;EUR", header="account;amount;currency\n"),
    )

    assert (code, _found(out)) == (1, {"account differs": ["-5.00"]})


def test_one_month_of_a_longer_file_is_compared(run, service, billed, account):
    service("S-1")
    lines = (f"S-1,{account},10,EUR,2026-06-30", f"S-1,{account},10,EUR,2026-07-31")

    assert run(invoices=billed(*lines))[0] == 1
    assert run("--month", "2026-07", invoices=billed(*lines))[0] == 0


def test_any_object_of_the_org_can_hold_the_services(run, crm, billed, tmp_path):
    crm.create("Product2", Name="Line 7", ProductCode="L-7", Family="live", Description="EUR")
    file = tmp_path / "ours.yaml"
    file.write_text(
        "services: {object: Product2, key: ProductCode, account: Name, status: Family,"
        " active: [live], monthly_price: L2C_Price__c, currency_code: EUR}\n"
        "invoices: {service: Line, account: null, amount: Net, currency: Ccy}\n"
    )
    lines = billed("L-7,9.99,EUR", header="Line,Net,Ccy\n")

    code, _, err = run("--services", str(file), invoices=lines)
    assert code == 2
    assert "L2C_Price__c" in err
    file.write_text(file.read_text().replace("L2C_Price__c", "SystemModstamp.Nothing__c"))
    assert run("--services", str(file), invoices=lines)[0] == 2


class TestAViewOfADatabase:
    @pytest.fixture
    def address(self, store, account) -> str:
        with psycopg.connect(store.conninfo, autocommit=True) as connection:
            connection.execute(
                "CREATE SCHEMA billing CREATE VIEW lines AS SELECT 'S-1' AS service, "
                f"'{account}'::text AS account, 10.00 AS amount, 'EUR' AS currency, "
                "date '2026-06-30' AS date"
            )
        sign = "&" if "?" in store.conninfo else "?"
        return f"{store.conninfo}{sign}view=billing.lines"

    def test_is_read_as_a_file_is(self, run, service, address):
        service("S-1")

        assert run(invoices=address)[0] == 0
        assert run("--month", "2026-07", invoices=address)[0] == 1

    def test_that_is_missing_is_told_without_the_address(self, run, address):
        code, _, err = run(invoices=address.replace("billing.lines", "billing.other"))

        assert code == 2
        assert 'relation "billing.other" does not exist' in err
        assert "postgresql://" not in err

    def test_cannot_write(self, run, store, address):
        with psycopg.connect(store.conninfo, autocommit=True) as connection:
            connection.execute("CREATE TABLE seen (at timestamptz)")
            connection.execute(
                "CREATE FUNCTION note() RETURNS text LANGUAGE sql AS "
                "$$ INSERT INTO seen VALUES (now()) RETURNING 'S-1' $$"
            )
            connection.execute(
                "CREATE VIEW sly AS SELECT note() AS service, 'x' AS account, 1.0 AS amount, "
                "'EUR' AS currency"
            )

        code, _, err = run(invoices=address.replace("billing.lines", "sly"))

        assert code == 2
        assert "read-only" in err


@pytest.mark.parametrize(
    ("header", "line", "said"),
    [
        ("service,account,amount\n", "S-1,x,10", "has no column currency; it has service"),
        (HEADER, "S-1,x,10,EURO,", "line 2: 'EURO' is no currency"),
        (HEADER, 'S-1,x,"1,000.00",EUR,', "line 2: '1,000.00' is no exact amount"),
        (HEADER, "S-1,x,1e3,EUR,", "line 2: '1e3' is no exact amount"),
        (HEADER, "S-1,x,10,EUR", "line 2: 4 cells where the header has 5"),
        (HEADER, ",,10,EUR,", "line 2: neither service nor account"),
        (HEADER, "", "holds no invoice line"),
        ("", "", "it has none at all"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line(run, billed, header, line, said):
    code, out, err = run(invoices=billed(line, header=header))

    assert (code, out) == (2, "")
    assert said in err
    assert "what to do" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--month", "June"), "June is no month"), (("--month", "2026-06"), "'' is no date")],
)
def test_a_month_needs_dates(run, billed, words, said):
    code, _, err = run(*words, invoices=billed("S-1,x,10,EUR,"))

    assert code == 2
    assert said in err


def test_a_missing_file_is_told(run, tmp_path):
    assert "cannot be read" in run(invoices=tmp_path / "none.csv")[2]


def test_a_wrong_key_of_the_definition_is_told_with_its_line(run, billed, tmp_path):
    file = tmp_path / "ours.yaml"
    file.write_text("services:\n  object: Product2\n  kei: Name\n")

    code, _, err = run("--services", str(file), invoices=billed("S-1,x,10,EUR,"))

    assert code == 2
    assert "ours.yaml, line" in err


def test_the_secret_of_the_settings_goes_to_their_org_only(org, billed, monkeypatch, capsys):
    for key in ("client_id", "client_secret"):
        monkeypatch.setenv(f"L2C_SALESFORCE__{key.upper()}", getattr(org, key))
    monkeypatch.setenv("L2C_SALESFORCE__LOGIN_URL", "https://ours.my.salesforce.com")

    with pytest.raises(SystemExit) as ended:
        main(["audit", "--org", org.base_url, "--invoices", str(billed("S-1,x,10,EUR,"))])

    assert ended.value.code == 2
    assert "client_id" in capsys.readouterr().err


def test_nothing_is_left_behind(run, service, billed, account, client, org, tmp_path):
    service("S-1")
    jobs = client.call("GET", "jobs/query")["records"]
    written = org.admin("audit", method="GET")
    file = billed(f"S-1,{account},10,EUR,")

    run(invoices=file)

    assert list(tmp_path.iterdir()) == [file]
    assert client.call("GET", "jobs/query")["records"] == jobs
    assert org.admin("audit", method="GET") == written


def test_a_client_made_for_reading_sends_no_call_that_could_write(org, crm, account):
    login = Login(org.base_url, ClientCredentials(org.client_id, org.client_secret))
    reader = OrgClient(login, is_read_only=True)
    try:
        assert reader.query_all("SELECT Name FROM Account")[0]["Name"] == "Dental Group"
        with pytest.raises(OrgReadOnly):
            reader.write([Collection("update", "Account", [{"Id": account, "Name": "Other"}])])
        with pytest.raises(OrgReadOnly):
            reader.delete_collections([account])
    finally:
        reader.close()
    assert crm.one("SELECT Name FROM Account")["Name"] == "Dental Group"
