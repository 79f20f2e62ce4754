"""The chart of accounts behind billing.

Revenue accounts come from the product (`accounting_code`); these are the others. The numbers follow
the German SKR 03 where it has a fitting account, so an export needs no translation there.
"""

from typing import Final

BANK: Final = "1000"
RECEIVABLES: Final = "1200"  # what customers owe: invoices and credit notes less what is applied
CUSTOMER_CREDITS: Final = "1700"  # money received and not yet set against an invoice: we owe it
HELD_PAYMENTS: Final = "1705"  # money received from a payer nobody knows
BAD_DEBTS: Final = "2400"  # written off: what customers will not pay any more
TAX: Final = "1776"  # tax collected, owed to the tax office
