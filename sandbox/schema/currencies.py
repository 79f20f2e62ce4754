"""Several currencies as a switch: the field every record then has (fact sheet I.6)."""

import sqlite3
from dataclasses import replace

from ..storage.tables import quoted
from .model import Field, FieldType, ObjectType, PicklistValue, Schema

CURRENCY, CURRENCY_TYPE, USER_CURRENCY = "CurrencyIsoCode", "CurrencyType", "DefaultCurrencyIsoCode"
# Objects without an owner and an amount that have a currency all the same.
ALSO = frozenset({"User", "Product2", "Pricebook2", "CampaignMember"})
CODE_LENGTH = 3
SELECT = (
    'SELECT "IsoCode", "IsActive", "IsCorporate", "ConversionRate" FROM "CurrencyType" '
    'WHERE "IsDeleted" = 0 ORDER BY "IsCorporate" DESC, "IsoCode"'
)


def with_currencies(item: ObjectType) -> ObjectType:
    """Return an object with the fields it has in an org with several currencies."""
    has_amount = any(f.type is FieldType.CURRENCY for f in item.fields)
    wide = item.has("OwnerId") or has_amount or item.custom or item.name in ALSO
    if item.event or not item.createable or not wide:
        return item
    fixed = item.name == "PricebookEntry"
    fields = (*item.fields, _code_field(CURRENCY, "Currency ISO Code", updateable=not fixed))
    if item.name == "User":
        fields = (*fields, _code_field(USER_CURRENCY, "Default Currency ISO Code"))
    return replace(item, fields=fields)


def _code_field(name: str, label: str, *, updateable: bool = True) -> Field:
    return Field(
        name=name,
        label=label,
        type=FieldType.PICKLIST,
        length=CODE_LENGTH,
        nillable=False,
        updateable=updateable,
        defaulted=True,
    )


def with_choices(item: ObjectType, connection: sqlite3.Connection) -> ObjectType:
    """Return an object as it is described: its currencies are those active now."""
    if not item.has(CURRENCY):
        return item
    codes = [row[0] for row in connection.execute(SELECT) if row[1] == 1]
    choices = tuple(PicklistValue(value=code, label=code) for code in codes)
    fields = tuple(
        replace(f, picklist=choices, restricted=True) if f.name in {CURRENCY, USER_CURRENCY} else f
        for f in item.fields
    )
    return replace(item, fields=fields)


def adopt_currency(connection: sqlite3.Connection, schema: Schema, *, code: str) -> None:
    """Give records from before the switch the corporate currency."""
    for item in schema:
        for name in (CURRENCY, USER_CURRENCY):
            if item.has(name):
                column = quoted(name)
                sql = f"UPDATE {quoted(item.name)} SET {column} = ? WHERE {column} IS NULL"
                connection.execute(sql, (code,))
