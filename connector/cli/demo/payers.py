"""Who pays what: lines of a bank file and notices of a payment gateway."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import text

from connector.store.engine import Store

PARTLY_PAID = Decimal("150.00")


def bank_file(store: Store, invoiced_on: date, paid_on: date) -> str:
    """Return a bank file: the dental group pays in full, the logistics company a part.

    One line is about an invoice nobody knows: its money has to stay visible, not vanish.
    """
    lines = ["reference,date,amount,currency,invoice_number,method"]
    for row in _open_invoices(store, invoiced_on):
        if row.currency == "GBP":
            amount = PARTLY_PAID
        elif row.kind == "business":
            amount = row.due
        else:
            continue
        lines.append(
            f"BANK-{invoiced_on:%Y%m}-{row.number},{paid_on},{amount:.2f},{row.currency},"
            f"{row.number},Bank transfer"
        )
    lines.append(f"BANK-{invoiced_on:%Y%m}-X,{paid_on},12.34,EUR,NOBODY-000001,Bank transfer")
    return "\n".join(lines) + "\n"


def gateway_notices(store: Store, invoiced_on: date, paid_on: date) -> list[dict[str, Any]]:
    """Return the gateway's notices: people pay by card, each notice is sent twice."""
    notices = [
        {
            "reference": f"CARD-{row.number}",
            "date": (paid_on - timedelta(days=2)).isoformat(),
            "amount": f"{row.due:.2f}",
            "currency": row.currency,
            "invoice_number": row.number,
            "method": "Card",
        }
        for row in _open_invoices(store, invoiced_on)
        if row.kind == "person"
    ]
    return [notice for notice in notices for _ in range(2)]


def _open_invoices(store: Store, invoiced_on: date) -> list[Any]:
    with store.read() as tx:
        return list(
            tx.execute(
                text(
                    "SELECT i.number, i.total - v.credited AS due, i.currency, a.kind "
                    "FROM invoice i JOIN v_invoice_balance v ON v.invoice_id = i.id "
                    "JOIN billing_account b ON b.id = i.billing_account_id "
                    "JOIN account a ON a.id = b.account_id "
                    "WHERE i.type = 'Invoice' AND i.state = 'finalised' "
                    "AND i.invoice_on = :invoiced_on ORDER BY i.number"
                ),
                {"invoiced_on": invoiced_on},
            )
        )
