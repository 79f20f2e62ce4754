"""The services of an org, read by queries alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.errors import Misconfigured
from connector.kernel.money import UnknownCurrency, minor_digits
from connector.sync.reconcile.audit.definition import ServiceSource

SERVICES_MAX = 5_000_000


class UnreadableServices(Misconfigured):
    """The org does not show its services as the audit's file says."""

    code = "audit.unreadable_services"


@dataclass(frozen=True, slots=True)
class Service:
    """One service; `monthly` is None when the org does not say what it costs, or in what."""

    key: str
    account: str
    account_name: str
    status: str
    is_active: bool
    monthly: Decimal | None
    currency: str


def read_services(org: OrgClient, source: ServiceSource) -> Iterator[Service]:
    """Yield every service that has a name.

    Raises:
        UnreadableServices: The org knows no such object or field, or too many services.
    """
    paths = dict.fromkeys(
        path
        for path in (
            source.key, source.account, source.account_name, source.status, source.monthly_price,
            source.currency,
        )
        if path
    )  # fmt: skip
    where = f" WHERE {source.where}" if source.where else ""
    soql = f"SELECT {', '.join(paths)} FROM {source.object}{where}"  # noqa: S608 - SOQL
    try:
        for count, row in enumerate(org.query(soql)):
            if count >= SERVICES_MAX:
                raise UnreadableServices(
                    f"{source.object} has more than {SERVICES_MAX} rows.",
                    remedy="Narrow them by `where:` in the file for --services.",
                )
            service = _service(row, source)
            if service.key:
                yield service
    except OrgRefused as refused:
        raise UnreadableServices(
            refused.message,
            remedy="Correct object and fields in the file for --services, or let the user read "
            "them (a permission set with read access is enough).",
        ) from None


def _service(row: Mapping[str, Any], source: ServiceSource) -> Service:
    status = _text(row, source.status)
    currency = _text(row, source.currency) if source.currency else source.currency_code or ""
    price = _at(row, source.monthly_price)
    return Service(
        key=_text(row, source.key),
        account=_text(row, source.account),
        account_name=_text(row, source.account_name) if source.account_name else "",
        status=status,
        is_active=status in source.active,
        monthly=Decimal(price) if price is not None and _is_currency(currency) else None,
        currency=currency,
    )


def _at(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _text(row: Mapping[str, Any], path: str) -> str:
    value = _at(row, path)
    return "" if value is None else str(value).strip()


def _is_currency(code: str) -> bool:
    try:
        minor_digits(code)
    except UnknownCurrency:
        return False
    return True
