"""Who buys what in the demo: customers, deals and dates, as a sales team would enter them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer as sales enters it; a person has a last name, a business a name."""

    key: str
    by: str
    values: Mapping[str, Any]
    reseller: str | None = None


@dataclass(frozen=True, slots=True)
class DealLine:
    """One line of a deal; `changes` names the product whose service at that site it is about."""

    product: str
    quantity: int = 1
    request_type: str = "NEW"
    term_months: int = 0
    site: str | None = None
    changes: str | None = None


@dataclass(frozen=True, slots=True)
class Deal:
    """A deal that is won on a day and delivered on another."""

    name: str
    customer: str
    won_on: date
    delivered_on: date
    lines: tuple[DealLine, ...]
    has_quote: bool = False
    promise: str = ""
    sites: tuple[str, ...] = field(default=())


SITE_MAINZ = "Zahnzentrum Mainz, Rheinallee 12, 55116 Mainz, DE"
SITE_KOBLENZ = "Zahnzentrum Koblenz, Löhrstrasse 40, 56068 Koblenz, DE"
SITE_BONN = "Zahnzentrum Bonn, Poststrasse 7, 53111 Bonn, DE"
HOME_LEE = "Ann Lee, Gartenweg 3, 65183 Wiesbaden, DE"

CUSTOMERS = (
    Customer(
        key="dental",
        by="Name",
        values={
            "Name": "Zahnzentrum Rhein GmbH",
            "BillingStreet": "Rheinallee 12",
            "BillingCity": "Mainz",
            "BillingPostalCode": "55116",
            "BillingCountry": "DE",
            "L2C_Billing_Primary_Email__c": "rechnung@zahnzentrum-rhein.example",
            "L2C_Currency__c": "EUR",
            "L2C_Customer_Type__c": "Business",
        },
    ),
    Customer(
        key="lee",
        by="LastName",
        values={
            "FirstName": "Ann",
            "LastName": "Lee",
            "PersonEmail": "ann.lee@mail.example",
            "BillingStreet": "Gartenweg 3",
            "BillingCity": "Wiesbaden",
            "BillingPostalCode": "65183",
            "BillingCountry": "DE",
            "L2C_Billing_Primary_Email__c": "ann.lee@mail.example",
            "L2C_Currency__c": "EUR",
            "L2C_Customer_Type__c": "Residential",
        },
    ),
    Customer(
        key="harbor",
        by="Name",
        reseller="brightit",
        values={
            "Name": "Harbor Logistics Ltd",
            "BillingStreet": "4 Quay Road",
            "BillingCity": "Bristol",
            "BillingPostalCode": "BS1 4RW",
            "BillingCountry": "GB",
            "L2C_Billing_Primary_Email__c": "accounts@harbor-logistics.example",
            "L2C_Currency__c": "GBP",
            "L2C_Customer_Type__c": "Business",
            "L2C_Brand_Key__c": "brightit",
        },
    ),
)

RESELLER = Customer(
    key="brightit",
    by="Name",
    values={
        "Name": "BrightIT Partners Ltd",
        "BillingCountry": "GB",
        "BillingCity": "Bristol",
        "L2C_Currency__c": "GBP",
        "L2C_Customer_Type__c": "Business",
        "L2C_Brand_Key__c": "brightit",
    },
)

JUNE_DEALS = (
    Deal(
        name="Zahnzentrum Rhein: telephony and network for three sites",
        customer="dental",
        won_on=date(2026, 6, 8),
        delivered_on=date(2026, 6, 16),
        has_quote=True,
        promise="one quote, three vendors, one invoice",
        lines=(
            DealLine("calling-seat", quantity=24, term_months=24, site=SITE_MAINZ),
            DealLine("calling-seat", quantity=12, term_months=24, site=SITE_KOBLENZ),
            DealLine("calling-seat", quantity=9, term_months=24, site=SITE_BONN),
            DealLine("sip-trunk", term_months=24, site=SITE_MAINZ),
            DealLine("sd-wan", term_months=24, site=SITE_MAINZ),
            DealLine("sd-wan", term_months=24, site=SITE_KOBLENZ),
            DealLine("sd-wan", term_months=24, site=SITE_BONN),
            DealLine("router", quantity=3, request_type="WIDGET"),
            DealLine("installation", request_type="SERVICE_REQUEST"),
        ),
    ),
    Deal(
        name="Ann Lee: broadband at home",
        customer="lee",
        won_on=date(2026, 6, 9),
        delivered_on=date(2026, 6, 17),
        promise="a person account with broadband",
        lines=(DealLine("broadband-100", term_months=12, site=HOME_LEE),),
    ),
    Deal(
        name="Harbor Logistics: cloud licences and compute",
        customer="harbor",
        won_on=date(2026, 6, 9),
        delivered_on=date(2026, 6, 12),
        promise="a reseller's customer with licences and pay-per-use",
        lines=(
            DealLine("cloud-office", quantity=40),
            DealLine("cloud-compute"),
        ),
    ),
)

CANCELLATION = Deal(
    name="Zahnzentrum Rhein: close the SD-WAN in Bonn",
    customer="dental",
    won_on=date(2026, 7, 10),
    delivered_on=date(2026, 7, 11),
    promise="cancelled for the 11th of a month that is billed already",
    lines=(DealLine("sd-wan", request_type="CANCEL", site=SITE_BONN, changes="sd-wan"),),
)

UPGRADE = Deal(
    name="Ann Lee: faster broadband",
    customer="lee",
    won_on=date(2026, 7, 14),
    delivered_on=date(2026, 7, 16),
    promise="100 becomes 500 in the middle of a month",
    lines=(
        DealLine(
            "broadband-500",
            request_type="UPGRADE",
            term_months=12,
            site=HOME_LEE,
            changes="broadband-100",
        ),
    ),
)
