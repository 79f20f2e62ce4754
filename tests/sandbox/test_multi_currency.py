"""An org with several currencies (fact sheet A.7, C.3, I.4, I.6)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer
from org_client import Client

SCHEMA = Path(__file__).parent / "schema"


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxServer]:
    settings = OrgSettings(schema=SCHEMA, multi_currency=True, soap_login=True)
    started = SandboxServer(Org(settings), host="127.0.0.1", port=0)
    started.start()
    yield started
    started.close()


@pytest.fixture
def deal(org: Client) -> str:
    return make_deal(org, "EUR", Amount="9.00")


def make_deal(org: Client, currency: str | None, **fields: object) -> str:
    given = {"Name": "Deal", "StageName": "Prospecting", "CloseDate": "2026-05-31"} | fields
    if currency is not None:
        given["CurrencyIsoCode"] = currency
    return org.create("Opportunity", **given)


def make_price(org: Client, product: str, currency: str) -> str:
    book = org.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")[0]["Id"]
    return org.create(
        "PricebookEntry",
        Pricebook2Id=book,
        Product2Id=product,
        CurrencyIsoCode=currency,
        UnitPrice=30,
        IsActive=True,
    )


def code_of(answer: object) -> str:
    return str(answer.json()[0]["errorCode"])  # type: ignore[attr-defined]


class TestRecords:
    def test_have_the_users_currency_unless_told(self, org: Client, deal: str) -> None:
        me = org.query("SELECT Id FROM User WHERE Username = 'admin@sandbox.example'")[0]["Id"]
        before = org.get(f"/sobjects/Account/{org.create('Account', Name='A')}").json()
        org.patch(f"/sobjects/User/{me}", {"DefaultCurrencyIsoCode": "GBP"})
        after = org.get(f"/sobjects/Account/{org.create('Account', Name='B')}").json()
        given = org.get(f"/sobjects/Opportunity/{deal}").json()

        assert before["CurrencyIsoCode"] == "USD"
        assert after["CurrencyIsoCode"] == "GBP"
        assert (given["CurrencyIsoCode"], given["Amount"]) == ("EUR", 9.0)

    @pytest.mark.parametrize("code", ["XXX", "JPY"])
    def test_refuse_currencies_that_are_unknown_or_inactive(
        self, org: Client, deal: str, code: str
    ) -> None:
        made = org.post("/sobjects/Account", {"Name": "A", "CurrencyIsoCode": code})
        changed = org.patch(f"/sobjects/Opportunity/{deal}", {"CurrencyIsoCode": code})

        assert code_of(made) == code_of(changed) == "INVALID_CURRENCY_ISO"

    def test_keep_their_numbers_in_another_currency(self, org: Client, deal: str) -> None:
        org.patch(f"/sobjects/Opportunity/{deal}", {"CurrencyIsoCode": "GBP"})
        row = org.get(f"/sobjects/Opportunity/{deal}").json()

        assert (row["Amount"], row["CurrencyIsoCode"]) == (9.0, "GBP")

    def test_are_described_with_the_active_currencies(self, org: Client) -> None:
        org.create("CurrencyType", IsoCode="SEK", ConversionRate="10.5", DecimalPlaces=2)
        org.create(
            "CurrencyType", IsoCode="CHF", ConversionRate="0.95", DecimalPlaces=2, IsActive=True
        )
        fields = org.get("/sobjects/Bill__c/describe").json()["fields"]
        field = next(f for f in fields if f["name"] == "CurrencyIsoCode")

        values = [choice["value"] for choice in field["picklistValues"]]
        assert values == ["USD", "CHF", "EUR", "GBP"]
        assert (field["type"], field["restrictedPicklist"]) == ("picklist", True)

    def test_are_rolled_up_in_the_currency_of_their_master(self, org: Client) -> None:
        bill = org.create("Bill__c", Key__c="B-1", CurrencyIsoCode="GBP")
        for number, (currency, amount) in enumerate([("GBP", "1.00"), ("EUR", "9.00")]):
            org.create(
                "Bill_Line__c",
                Key__c=f"L-{number}",
                Bill__c=bill,
                CurrencyIsoCode=currency,
                Amount__c=amount,
            )

        pounds = org.get(f"/sobjects/Bill__c/{bill}").json()["Line_Total__c"]
        org.patch(f"/sobjects/Bill__c/{bill}", {"CurrencyIsoCode": "EUR"})
        euros = org.get(f"/sobjects/Bill__c/{bill}").json()["Line_Total__c"]

        assert (pounds, euros) == (9.0, 10.13)

    def test_refuse_sums_that_no_column_holds(self, org: Client) -> None:
        for code, rate in (("AAA", "0.000001"), ("ZZZ", "999999999999")):
            org.create(
                "CurrencyType", IsoCode=code, ConversionRate=rate, DecimalPlaces=2, IsActive=True
            )
        bill = org.create("Bill__c", Key__c="B-1", CurrencyIsoCode="ZZZ")
        line = {
            "Key__c": "L",
            "Bill__c": bill,
            "CurrencyIsoCode": "AAA",
            "Amount__c": "99999999999",
        }

        refused = org.post("/sobjects/Bill_Line__c", line)
        org.patch(f"/sobjects/Bill__c/{bill}", {"CurrencyIsoCode": "AAA"})
        org.create("Bill_Line__c", **line)
        unseen = org.get("/query", params={"q": "SELECT SUM(Amount__c) FROM Bill_Line__c"})

        assert code_of(refused) == "NUMBER_OUTSIDE_VALID_RANGE"
        assert code_of(unseen) == "QUERY_TOO_COMPLICATED"

    def test_the_corporate_currency_has_the_rate_one(self, org: Client) -> None:
        dollar = org.query("SELECT Id FROM CurrencyType WHERE IsCorporate = true")[0]["Id"]

        refused = org.patch(f"/sobjects/CurrencyType/{dollar}", {"ConversionRate": "2"})

        assert code_of(refused) == "FIELD_INTEGRITY_EXCEPTION"


class TestLines:
    def test_need_a_price_in_the_currency_of_the_deal(self, org: Client, deal: str) -> None:
        product = org.create("Product2", Name="Fibre", ProductCode="F-1", IsActive=True)
        euro, dollar = (make_price(org, product, code) for code in ("EUR", "USD"))
        line = {"OpportunityId": deal, "Quantity": 1, "UnitPrice": 30}

        made = org.create("OpportunityLineItem", **line, PricebookEntryId=euro)
        other = org.post("/sobjects/OpportunityLineItem", line | {"PricebookEntryId": dollar})
        odd = line | {"PricebookEntryId": euro, "CurrencyIsoCode": "USD"}
        differing = org.post("/sobjects/OpportunityLineItem", odd)
        moved = org.patch(f"/sobjects/Opportunity/{deal}", {"CurrencyIsoCode": "USD"})

        row = org.get(f"/sobjects/OpportunityLineItem/{made}").json()
        assert row["CurrencyIsoCode"] == "EUR"
        codes = {code_of(other), code_of(differing), code_of(moved)}
        assert codes == {"FIELD_INTEGRITY_EXCEPTION"}

    def test_prices_are_one_per_currency(self, org: Client) -> None:
        product = org.create("Product2", Name="Fibre", ProductCode="F-1", IsActive=True)
        price = make_price(org, product, "EUR")
        row = org.get(f"/sobjects/PricebookEntry/{price}").json()
        again = org.post(
            "/sobjects/PricebookEntry",
            {n: row[n] for n in ("Pricebook2Id", "Product2Id", "CurrencyIsoCode", "UnitPrice")},
        )
        book = org.create("Pricebook2", Name="Partners", IsActive=True)
        custom = {"Pricebook2Id": book, "Product2Id": product, "UnitPrice": 5}
        early = org.post("/sobjects/PricebookEntry", custom | {"CurrencyIsoCode": "GBP"})

        assert code_of(again) == "DUPLICATE_VALUE"
        assert code_of(early) == "STANDARD_PRICE_NOT_DEFINED"
        assert org.create("PricebookEntry", **custom, CurrencyIsoCode="EUR")


class TestQueries:
    def test_convert_to_the_users_currency(self, org: Client, deal: str) -> None:
        row = org.query(
            "SELECT Amount, convertCurrency(Amount) mine, CurrencyIsoCode FROM Opportunity"
        )[0]
        lone = org.query("SELECT convertCurrency(Amount) FROM Opportunity")[0]

        assert (row["Amount"], row["mine"], row["CurrencyIsoCode"]) == (9.0, 10.0, "EUR")
        assert lone["Amount"] == 10.0

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            ("Amount = USD10", ["EUR"]),
            ("Amount != USD10", ["GBP", "USD"]),
            ("Amount > USD9.999999", ["EUR", "USD"]),
            ("Amount >= USD10.01", ["USD"]),
            ("Amount < EUR9", ["GBP"]),
            ("Amount IN (USD10.01, GBP7.99)", ["GBP", "USD"]),
            ("Amount NOT IN (USD10.01, null)", ["EUR", "GBP"]),
            ("Amount > 9", ["USD"]),
        ],
    )
    def test_compare_amounts_exactly(
        self, org: Client, deal: str, where: str, found: list[str]
    ) -> None:
        make_deal(org, "USD", Amount="10.01")
        make_deal(org, "GBP", Amount="7.99")

        rows = org.query(f"SELECT CurrencyIsoCode FROM Opportunity WHERE {where} ORDER BY Id")

        assert sorted(row["CurrencyIsoCode"] for row in rows) == found

    def test_sum_in_the_corporate_currency(self, org: Client, deal: str) -> None:
        make_deal(org, "USD", Amount=5)

        assert org.query("SELECT SUM(Amount) n FROM Opportunity")[0]["n"] == 15.0

    def test_know_only_active_currencies(self, org: Client, deal: str) -> None:
        for code in ("XXX", "JPY"):
            refused = org.refused(f"SELECT Id FROM Opportunity WHERE Amount > {code}5")

            assert refused["errorCode"] == "INVALID_CURRENCY_ISO"


def test_soap_tells_of_the_currencies(org: Client) -> None:
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
        'xmlns:p="urn:partner.soap.sforce.com"><e:Body><p:login>'
        "<p:username>admin@sandbox.example</p:username><p:password>sandbox</p:password>"
        "</p:login></e:Body></e:Envelope>"
    )
    headers = {"Content-Type": "text/xml", "SOAPAction": '""'}

    text = org.call("POST", "/services/Soap/u/59.0", data=body, headers=headers).text

    assert "<organizationMultiCurrency>true<" in text
    assert "<userDefaultCurrencyIsoCode>USD<" in text


def test_a_data_file_can_be_given_currencies_later(tmp_path: Path) -> None:
    file = tmp_path / "org.db"
    Org(OrgSettings(data=file)).close()

    widened = Org(OrgSettings(data=file, multi_currency=True))
    with widened.database.read() as connection:
        codes = connection.execute('SELECT DISTINCT "CurrencyIsoCode" FROM "User"').fetchall()
    widened.close()

    assert codes == [("USD",)]
