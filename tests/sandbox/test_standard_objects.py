"""What standard objects do by themselves (fact sheet I)."""

import base64

import pytest
from org_client import Client


@pytest.fixture
def book(org: Client) -> str:
    return str(org.query("SELECT Id FROM Pricebook2 WHERE IsStandard = true")[0]["Id"])


@pytest.fixture
def entry(org: Client, book: str) -> str:
    product = org.create("Product2", Name="Fibre", ProductCode="F-1", IsActive=True)
    return org.create(
        "PricebookEntry", Pricebook2Id=book, Product2Id=product, UnitPrice=30, IsActive=True
    )


@pytest.fixture
def deal(org: Client) -> str:
    return org.create(
        "Opportunity", Name="Deal", StageName="Prospecting", CloseDate="2026-05-31", Amount=100
    )


def code_of(answer: object) -> str:
    return str(answer.json()[0]["errorCode"])  # type: ignore[attr-defined]


class TestOpportunity:
    def test_the_stage_decides(self, org: Client, deal: str) -> None:
        row = org.get(f"/sobjects/Opportunity/{deal}").json()
        org.patch(f"/sobjects/Opportunity/{deal}", {"StageName": "closed won"})
        won = org.get(f"/sobjects/Opportunity/{deal}").json()
        org.patch(f"/sobjects/Opportunity/{deal}", {"StageName": "Own words"})
        unknown = org.get(f"/sobjects/Opportunity/{deal}").json()

        assert (row["Probability"], row["ExpectedRevenue"], row["IsClosed"]) == (10.0, 10.0, False)
        assert (row["FiscalYear"], row["FiscalQuarter"]) == (2026, 2)
        assert (won["IsWon"], won["Probability"], won["ForecastCategory"]) == (
            True,
            100.0,
            "Closed",
        )
        assert (unknown["IsWon"], unknown["IsClosed"]) == (False, False)

    def test_lines_make_the_amount(self, org: Client, deal: str, entry: str, book: str) -> None:
        line = org.create(
            "OpportunityLineItem",
            OpportunityId=deal,
            PricebookEntryId=entry,
            Quantity=3,
            UnitPrice="19.99",
            Discount=10,
        )
        org.create(
            "OpportunityLineItem",
            OpportunityId=deal,
            PricebookEntryId=entry,
            Quantity=2,
            TotalPrice=50,
        )
        org.patch(f"/sobjects/Opportunity/{deal}", {"Amount": 1})
        row = org.get(f"/sobjects/Opportunity/{deal}").json()
        first = org.get(f"/sobjects/OpportunityLineItem/{line}").json()

        assert (first["TotalPrice"], first["ListPrice"], first["Name"]) == (
            53.97,
            30.0,
            "Deal Fibre",
        )
        assert (row["Amount"], row["HasOpportunityLineItem"]) == (103.97, True)
        assert row["Pricebook2Id"] == book
        org.delete(f"/sobjects/OpportunityLineItem/{line}")
        assert org.get(f"/sobjects/Opportunity/{deal}").json()["Amount"] == 50.0

    def test_lines_need_an_active_price_of_the_right_book(
        self, org: Client, deal: str, entry: str
    ) -> None:
        org.patch(f"/sobjects/PricebookEntry/{entry}", {"IsActive": False})
        line = {"OpportunityId": deal, "Quantity": 1, "UnitPrice": 1}

        inactive = org.post("/sobjects/OpportunityLineItem", line | {"PricebookEntryId": entry})
        none = org.post("/sobjects/OpportunityLineItem", line)

        assert code_of(inactive) == "FIELD_INTEGRITY_EXCEPTION"
        assert code_of(none) == "REQUIRED_FIELD_MISSING"


class TestQuote:
    @pytest.fixture
    def quote(self, org: Client, deal: str, book: str, entry: str) -> str:
        quote = org.create("Quote", Name="Q", OpportunityId=deal, Pricebook2Id=book, Tax=5)
        org.create("QuoteLineItem", QuoteId=quote, PricebookEntryId=entry, Quantity=2, UnitPrice=20)
        return quote

    def test_sums_its_lines(self, org: Client, quote: str) -> None:
        row = org.get(f"/sobjects/Quote/{quote}").json()

        assert (row["Subtotal"], row["TotalPrice"], row["GrandTotal"]) == (40.0, 40.0, 45.0)
        assert (row["LineItemCount"], row["QuoteNumber"]) == (1, "00000001")

    def test_a_synced_quote_and_its_opportunity_have_the_same_lines(
        self, org: Client, quote: str, deal: str, entry: str
    ) -> None:
        old = org.create(
            "OpportunityLineItem",
            OpportunityId=deal,
            PricebookEntryId=entry,
            Quantity=9,
            UnitPrice=9,
        )
        org.patch(f"/sobjects/Opportunity/{deal}", {"SyncedQuoteId": quote})
        lines = "SELECT Id, Quantity, UnitPrice FROM OpportunityLineItem ORDER BY Id"
        started = org.query(lines)
        quote_line = org.query("SELECT Id, OpportunityLineItemId FROM QuoteLineItem")[0]
        org.patch(f"/sobjects/QuoteLineItem/{quote_line['Id']}", {"Quantity": 5})
        changed = org.query(lines)
        org.patch(f"/sobjects/OpportunityLineItem/{started[0]['Id']}", {"UnitPrice": 21})
        back = org.query("SELECT UnitPrice, TotalPrice FROM QuoteLineItem")
        second = org.create(
            "QuoteLineItem", QuoteId=quote, PricebookEntryId=entry, Quantity=1, UnitPrice=1
        )
        amount = org.get(f"/sobjects/Opportunity/{deal}").json()["Amount"]
        org.delete(f"/sobjects/QuoteLineItem/{second}")

        assert org.get(f"/sobjects/Quote/{quote}").json()["IsSyncing"] is True
        assert [line["Id"] for line in started] == [quote_line["OpportunityLineItemId"]]
        assert old not in [line["Id"] for line in started]
        assert changed[0]["Quantity"] == 5.0
        assert (back[0]["UnitPrice"], back[0]["TotalPrice"]) == (21.0, 105.0)
        assert amount == 106.0
        assert org.get(f"/sobjects/Opportunity/{deal}").json()["Amount"] == 105.0

    def test_sync_stops_with_null(self, org: Client, quote: str, deal: str) -> None:
        org.patch(f"/sobjects/Opportunity/{deal}", {"SyncedQuoteId": quote})
        org.patch(f"/sobjects/Opportunity/{deal}", {"SyncedQuoteId": None})

        assert org.get(f"/sobjects/Quote/{quote}").json()["IsSyncing"] is False

    def test_a_sync_that_fails_changes_nothing(
        self, org: Client, quote: str, deal: str, entry: str
    ) -> None:
        org.patch(f"/sobjects/PricebookEntry/{entry}", {"IsActive": False})

        answer = org.patch(f"/sobjects/Opportunity/{deal}", {"SyncedQuoteId": quote})

        assert (answer.status_code, code_of(answer)) == (400, "FIELD_INTEGRITY_EXCEPTION")
        assert org.get(f"/sobjects/Opportunity/{deal}").json()["SyncedQuoteId"] is None
        assert org.get(f"/sobjects/Quote/{quote}").json()["IsSyncing"] is False

    def test_a_quote_of_another_opportunity_cannot_be_synced(self, org: Client, quote: str) -> None:
        other = org.create("Opportunity", Name="O", StageName="X", CloseDate="2026-01-01")

        answer = org.patch(f"/sobjects/Opportunity/{other}", {"SyncedQuoteId": quote})

        assert code_of(answer) == "FIELD_INTEGRITY_EXCEPTION"


class TestPrices:
    def test_the_standard_price_comes_first(self, org: Client, book: str) -> None:
        product = org.create("Product2", Name="P")
        own = org.create("Pricebook2", Name="Own", IsActive=True)
        price = {"Product2Id": product, "UnitPrice": 5, "IsActive": True}

        early = org.post("/sobjects/PricebookEntry", price | {"Pricebook2Id": own})
        org.create("PricebookEntry", **price, Pricebook2Id=book)
        late = org.post(
            "/sobjects/PricebookEntry",
            {"Product2Id": product, "Pricebook2Id": own, "UseStandardPrice": True},
        )
        twice = org.post("/sobjects/PricebookEntry", price | {"Pricebook2Id": own})

        assert code_of(early) == "STANDARD_PRICE_NOT_DEFINED"
        assert org.get(f"/sobjects/PricebookEntry/{late.json()['id']}").json()["UnitPrice"] == 5.0
        assert code_of(twice) == "DUPLICATE_VALUE"


class TestPersonAccounts:
    def test_a_person_has_a_contact_that_follows(self, org: Client) -> None:
        person = org.create("Account", LastName="Doe", FirstName="Jo", PersonEmail="jo@x.de")
        row = org.get(f"/sobjects/Account/{person}").json()
        org.patch(f"/sobjects/Account/{person}", {"LastName": "Roe", "Phone": "1"})
        contact = org.get(f"/sobjects/Contact/{row['PersonContactId']}").json()
        refused = org.patch(f"/sobjects/Contact/{contact['Id']}", {"LastName": "X"})

        assert (row["Name"], row["IsPersonAccount"]) == ("Jo Doe", True)
        assert (contact["Name"], contact["Phone"], contact["Email"]) == ("Jo Roe", "1", "jo@x.de")
        assert (contact["IsPersonAccount"], contact["AccountId"]) == (True, person)
        assert refused.status_code == 400

    def test_a_person_record_type_asks_for_a_last_name(self, org: Client) -> None:
        kind = org.query("SELECT Id FROM RecordType WHERE IsPersonType = true")[0]["Id"]

        answer = org.post("/sobjects/Account", {"RecordTypeId": kind, "FirstName": "x"})
        named = org.post("/sobjects/Account", {"RecordTypeId": kind, "LastName": "x", "Name": "y"})
        business = org.post("/sobjects/Account", {})

        assert answer.json()[0]["fields"] == ["LastName"]
        assert code_of(named) == "INVALID_FIELD_FOR_INSERT_UPDATE"
        assert business.json()[0]["fields"] == ["Name"]

    def test_a_batch_of_persons_gets_a_contact_each(self, org: Client) -> None:
        rows = [{"attributes": {"type": "Account"}, "LastName": f"P{n}"} for n in range(20)]

        org.post("/composite/sobjects", {"records": rows})

        rows = org.query("SELECT PersonContactId FROM Account")
        assert len({row["PersonContactId"] for row in rows}) == 20


def test_files_have_documents_versions_and_links(org: Client) -> None:
    account = org.create("Account", Name="A")
    data = base64.b64encode(b"%PDF-1.7").decode()
    first = org.create(
        "ContentVersion",
        Title="Invoice",
        PathOnClient="invoice.pdf",
        VersionData=data,
        FirstPublishLocationId=account,
    )
    row = org.get(f"/sobjects/ContentVersion/{first}").json()
    document = row["ContentDocumentId"]
    org.create("ContentVersion", PathOnClient="b.pdf", VersionData=data, ContentDocumentId=document)

    links = org.query(
        f"SELECT ContentDocument.LatestPublishedVersion.VersionNumber FROM ContentDocumentLink "
        f"WHERE LinkedEntityId = '{account}'"
    )
    blob = org.get(row["VersionData"])

    assert (row["FileType"], row["ContentSize"], row["IsLatest"]) == ("PDF", 8, True)
    assert blob.content == b"%PDF-1.7"
    assert links[0]["ContentDocument"]["LatestPublishedVersion"]["VersionNumber"] == "2"
    missing = org.post("/sobjects/ContentVersion", {"Title": "x"})
    assert code_of(missing) == "REQUIRED_FIELD_MISSING"


def test_states_follow_the_status(org: Client) -> None:
    account = org.create("Account", Name="A")
    case = org.create("Case", Subject="x", Status="Closed")
    task = org.create("Task", Subject="x", Status="Completed", WhatId=account)
    contract = org.create("Contract", AccountId=account, StartDate="2026-01-31", ContractTerm=1)

    assert org.get(f"/sobjects/Case/{case}").json()["IsClosed"] is True
    assert org.get(f"/sobjects/Case/{case}").json()["CaseNumber"] == "00000001"
    row = org.get(f"/sobjects/Task/{task}").json()
    assert (row["IsClosed"], row["AccountId"]) == (True, account)
    assert org.get(f"/sobjects/Contract/{contract}").json()["EndDate"] == "2026-02-27"


def test_deleting_an_account_takes_its_opportunities_along(org: Client) -> None:
    account = org.create("Account", Name="A")
    deal = org.create(
        "Opportunity", Name="D", StageName="X", CloseDate="2026-01-01", AccountId=account
    )

    org.delete(f"/sobjects/Account/{account}")

    assert code_of(org.get(f"/sobjects/Opportunity/{deal}")) == "ENTITY_IS_DELETED"


def test_read_only_objects_stay_as_they_are(org: Client) -> None:
    assert org.post("/sobjects/Profile", {"Name": "X"}).status_code == 400
    profile = org.query("SELECT Id FROM Profile")[0]["Id"]
    assert org.delete(f"/sobjects/Profile/{profile}").status_code == 400


def test_one_currency_leaves_no_trace_of_several(org: Client) -> None:
    described = org.get("/sobjects/Opportunity/describe").json()

    assert "CurrencyIsoCode" not in {field["name"] for field in described["fields"]}
    assert org.get("/sobjects/CurrencyType/describe").status_code == 404
    assert org.query("SELECT convertCurrency(Amount) n FROM Opportunity WHERE Amount > USD5") == []
