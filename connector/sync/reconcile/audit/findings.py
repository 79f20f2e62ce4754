"""What services and invoices say of each other: unbilled, billed for nothing, and other sums."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from connector.adapters.salesforce.ids import to_18
from connector.sync.reconcile.audit.billed import BilledLine
from connector.sync.reconcile.audit.services import Service

_ID_LENGTH = 15


class Kind(StrEnum):
    """What is wrong."""

    NOT_BILLED = "not billed"
    CEASED = "billed but ceased"
    UNKNOWN = "billed but unknown in the CRM"
    OTHER_CURRENCY = "billed in another currency"
    NO_PRICE = "no price or currency in the CRM"
    ACCOUNT_DIFFERS = "account differs"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; `expected` a month by the CRM, `billed` by the invoices."""

    kind: Kind
    account: str
    account_name: str
    service: str
    currency: str
    expected: Decimal
    billed: Decimal

    @property
    def difference(self) -> Decimal:
        """Return how much too much was billed; below zero, too little."""
        return self.billed - self.expected


@dataclass(frozen=True, slots=True)
class CurrencySum:
    """All of one currency."""

    currency: str
    expected: Decimal
    billed: Decimal


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Services against invoices."""

    services: int
    active: int
    lines: int
    sums: tuple[CurrencySum, ...]
    findings: tuple[Finding, ...]


def audit(services: Iterable[Service], lines: Iterable[BilledLine]) -> AuditReport:
    """Compare what is to be billed a month with what was billed; sums are exact.

    Lines that name services are compared service by service, and all by account and currency. A
    line belongs to the account of its service, or to the one it names itself.
    """
    books = _Books()
    for line in lines:  # first: a file that cannot be read costs no call to the org
        books.enter_line(line)
    for service in services:
        books.enter_service(service)
    books.assign_lines()
    return books.report()


class _Books:
    """Everything entered so far."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.names: dict[str, str] = {}
        self.expected: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self.entered: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
        self.billed: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self.of_service: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self.currencies_of: dict[str, set[str]] = defaultdict(set)
        self.lines = 0
        self.names_services = False

    def enter_service(self, service: Service) -> None:
        """Enter a service; of two with one key the active one counts, the prices of both do."""
        former = self.services.get(service.key)
        if former is None or service.is_active or not former.is_active:
            self.services[service.key] = service
        self.names.setdefault(_account(service.account), service.account_name)
        if service.is_active and service.monthly is not None:
            self.expected[_account(service.account), service.currency] += service.monthly

    def enter_line(self, line: BilledLine) -> None:
        """Enter a line of an invoice."""
        self.lines += 1
        self.entered[line.service or "", line.account or "", line.currency] += line.amount

    def assign_lines(self) -> None:
        """Add the lines up by service, and by the account each belongs to."""
        for (key, named, currency), amount in self.entered.items():
            service = self.services.get(key)
            self.billed[_account(service.account if service else named), currency] += amount
            if key:
                self.names_services = True
                self.of_service[key, currency] += amount
                self.currencies_of[key].add(currency)

    def report(self) -> AuditReport:
        """Return what is wrong, the services first."""
        found = self._of_services() if self.names_services else []
        found += self._of_accounts()
        currencies = sorted({currency for _, currency in (*self.expected, *self.billed)})
        return AuditReport(
            services=len(self.services),
            active=sum(one.is_active for one in self.services.values()),
            lines=self.lines,
            sums=tuple(
                CurrencySum(code, _sum(self.expected, code), _sum(self.billed, code))
                for code in currencies
            ),
            findings=tuple(found),
        )

    def _of_services(self) -> list[Finding]:
        found: list[Finding] = []
        for key, service in sorted(self.services.items()):
            if service.is_active and service.monthly is None:
                found.append(self._finding(Kind.NO_PRICE, service, service.currency))
            elif service.is_active and service.monthly and not self.currencies_of.get(key):
                found.append(self._finding(Kind.NOT_BILLED, service, service.currency))
        for key, currency in sorted(self.of_service):
            billed_service = self.services.get(key)
            if billed_service is None:
                found.append(self._unknown(key, currency))
            elif not billed_service.is_active and self.of_service[key, currency]:
                found.append(self._finding(Kind.CEASED, billed_service, currency))
            elif billed_service.is_active and currency != billed_service.currency:
                found.append(self._finding(Kind.OTHER_CURRENCY, billed_service, currency))
        return found

    def _of_accounts(self) -> list[Finding]:
        pairs = sorted({*self.expected, *self.billed})
        return [
            Finding(
                kind=Kind.ACCOUNT_DIFFERS,
                account=account,
                account_name=self.names.get(account, ""),
                service="",
                currency=currency,
                expected=self.expected.get((account, currency), Decimal(0)),
                billed=self.billed.get((account, currency), Decimal(0)),
            )
            for account, currency in pairs
            if self.expected.get((account, currency), Decimal(0))
            != self.billed.get((account, currency), Decimal(0))
        ]

    def _finding(self, kind: Kind, service: Service, currency: str) -> Finding:
        is_expected = service.is_active and currency == service.currency
        return Finding(
            kind=kind,
            account=service.account,
            account_name=service.account_name,
            service=service.key,
            currency=currency,
            expected=(service.monthly or Decimal(0)) if is_expected else Decimal(0),
            billed=self.of_service.get((service.key, currency), Decimal(0)),
        )

    def _unknown(self, key: str, currency: str) -> Finding:
        return Finding(
            Kind.UNKNOWN, "", "", key, currency, Decimal(0), self.of_service[key, currency]
        )


def _account(key: str) -> str:
    """Return the key in one form: Salesforce ids may have 15 or 18 characters."""
    return to_18(key) if len(key) == _ID_LENGTH and key.startswith("001") else key


def _sum(amounts: dict[tuple[str, str], Decimal], currency: str) -> Decimal:
    return sum((one for (_, code), one in amounts.items() if code == currency), Decimal(0))
