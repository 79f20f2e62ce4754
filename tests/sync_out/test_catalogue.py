"""One catalogue: the files say what things cost, the CRM keeps what its people add (row B1)."""

from decimal import Decimal
from pathlib import Path

from connector.catalog.load import CatalogReport, load_catalog
from connector.store.engine import Store
from tests.sync_out.world import NOW

FILE = """\
brands: [{key: default, name: House, invoice_prefix: INV}]
products:
  - key: b100
    brand: default
    name: Broadband 100
    prices:
      - request: NEW
        term: 24
        currency: EUR
        mr: 50
        template: deliver-broadband
        from: 2026-01-01
"""
DEARER = """\
      - request: NEW
        term: 24
        currency: EUR
        mr: 55
        template: deliver-broadband
        from: 2026-08-01
"""
PRICES = (
    "SELECT Id, Name, MR_Price__c, Work_Order_Template__c, Requested_Date_Required__c, "
    "Price_Valid_From__c, Price_Valid_To__c FROM L2C_Price_Entry__c ORDER BY Price_Valid_From__c"
)


def load(store: Store, folder: Path, text: str) -> CatalogReport:
    (folder / "catalog.yaml").write_text(text)
    with store.transaction() as tx:
        return load_catalog(tx=tx, folder=folder, now=NOW)


def test_a_price_of_the_files_reaches_the_crm_and_what_people_wrote_there_stays(
    store, push, crm, tmp_path
):
    load(store, tmp_path, FILE)
    push()
    product = crm.one("SELECT Id FROM Product2")["Id"]
    crm.update("Product2", product, Family="Access", Description="Our best")
    crm.update("L2C_Price_Entry__c", crm.one(PRICES)["Id"], Requested_Date_Required__c=True)

    load(store, tmp_path, FILE + DEARER)
    push()

    before, since = crm.rows(PRICES)
    assert (before["MR_Price__c"], before["Price_Valid_To__c"]) == (Decimal(50), "2026-08-01")
    assert (since["MR_Price__c"], since["Price_Valid_From__c"]) == (Decimal(55), "2026-08-01")
    assert since["Work_Order_Template__c"] == before["Work_Order_Template__c"]
    assert before["Requested_Date_Required__c"] is True
    kept = crm.one("SELECT Name, Family, Description FROM Product2")
    assert (kept["Name"], kept["Family"], kept["Description"]) == (
        "Broadband 100", "Access", "Our best",
    )  # fmt: skip
