"""Proration as data: what a part of a billing month costs (design D9, domain 3.4)."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from connector.errors import Misconfigured
from connector.kernel.money import Rounding
from connector.kernel.period import Cycle, Interval


class Basis(StrEnum):
    """How many days a billing period has."""

    ACTUAL = "actual"  # the days of this very billing period
    FIXED_30 = "fixed30"  # thirty a month; a whole period still costs the whole price
    EACH_MONTH = "each_month"  # each month of a longer period by itself, by its own days
    FULL = "full"  # a period that was begun costs the whole price
    NONE = "none"  # only whole periods cost anything


class Credit(StrEnum):
    """What happens to days that were billed ahead and are not wanted any more."""

    PRORATED = "prorated"  # given back, day by day
    NONE = "none"  # kept: the old price stands until its billing period ends


class Alignment(StrEnum):
    """What the periods of a charge are counted from."""

    CALENDAR = "calendar"  # the payer's anchor day
    ANNIVERSARY = "anniversary"  # the first billed day of the service


class Timing(StrEnum):
    """Whether a period is billed when it begins or when it is over."""

    ADVANCE = "advance"
    ARREARS = "arrears"


class IntervalChange(StrEnum):
    """What happens to the periods when a plan of another interval takes over."""

    KEEP = "keep"  # they go on being counted from the same day
    RESTART = "restart"  # the first one begins with the change


class Partials(StrEnum):
    """When a part of a period is invoiced that begins between two bill days."""

    NEXT_BILL_DAY = "next_bill_day"
    ON_ORDER = "on_order"


class Suspended(StrEnum):
    """What a service costs while it is suspended."""

    CONTINUE = "continue"
    PAUSE = "pause"


class UnknownPolicy(Misconfigured):
    """A policy file says something that is not understood."""

    code = "charging.unknown_policy"
    remedy = "See connector/charging/README.md for the fields and their values."


@dataclass(frozen=True, slots=True)
class ProrationPolicy:
    """Says which days are billed, when, what a day costs and what is given back.

    `anchored_on` belongs to a charge, not to a file: the day its periods are counted from when
    they do not follow the payer's calendar.
    """

    name: str = "default"
    basis: Basis = Basis.ACTUAL
    bill_first_day: bool = True
    bill_last_day: bool = False
    credit_on_decrease: Credit = Credit.PRORATED
    credit_on_cancel: Credit = Credit.PRORATED
    min_charge_days: int = 0
    every: Interval = Interval.MONTH
    align: Alignment = Alignment.CALENDAR
    when: Timing = Timing.ADVANCE
    on_interval_change: IntervalChange = IntervalChange.KEEP
    invoice_partials_on: Partials = Partials.NEXT_BILL_DAY
    while_suspended: Suspended = Suspended.CONTINUE
    rounding: Rounding = Rounding.HALF_UP
    anchored_on: date | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it by name and value, as a charge keeps it.

        What came later than a charge is left out while it says the usual: most charges are plain.
        """
        values = asdict(self)
        for name in _LEFT_OUT_WHEN_USUAL:
            if values[name] == getattr(DEFAULT_POLICY, name):
                del values[name]
        if self.anchored_on is not None:
            values["anchored_on"] = self.anchored_on.isoformat()
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ProrationPolicy":
        """Return the policy a charge was made under, or one from a file.

        Raises:
            UnknownPolicy: A field or a value is not known.
        """
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise UnknownPolicy(f"A proration policy has no field '{unknown[0]}'.")
        for name in ("bill_first_day", "bill_last_day"):
            if not isinstance(values.get(name, False), bool):
                raise UnknownPolicy(f"'{name}' of a proration policy is yes or no.")
        days = values.get("min_charge_days", 0)
        if not isinstance(days, int) or isinstance(days, bool) or days < 0:
            raise UnknownPolicy("'min_charge_days' of a proration policy is a number from 0 on.")
        try:
            parsed = {
                name: parse(values[name]) for name, parse in _CHOICES.items() if name in values
            }
        except ValueError as error:
            raise UnknownPolicy(f"A proration policy says something unknown: {error}.") from None
        plain = {name: values[name] for name in known - set(_CHOICES) if name in values}
        return cls(**plain | parsed)

    def cycle(self, payer: Cycle) -> Cycle:
        """Return the periods of a charge under this policy, given those of its payer.

        Weeks begin on Monday and longer periods on the first for a payer whose own bill days
        say nothing about them.
        """
        if self.anchored_on is not None:
            return Cycle(self.every, self.anchored_on)
        if self.every is payer.every:
            return payer
        if Interval.WEEK in (self.every, payer.every):
            return Cycle.calendar(self.every, 1)
        return Cycle(self.every, payer.anchored_on)

    def opened(self, *, on: date, before: "ProrationPolicy | None") -> "ProrationPolicy":
        """Return it for a charge that begins on a day and takes over from another one.

        A successor keeps the periods that were running, unless it has another interval and the
        policy lets them begin anew.
        """
        restarts = (
            before is not None
            and before.every is not self.every
            and self.on_interval_change is IntervalChange.RESTART
        )
        if restarts or (before is None and self.align is Alignment.ANNIVERSARY):
            return replace(self, anchored_on=on)
        return replace(self, anchored_on=before.anchored_on if before else None)


def _day(value: object) -> date | None:
    return value if value is None or isinstance(value, date) else date.fromisoformat(str(value))


_CHOICES: dict[str, Callable[[Any], Any]] = {
    "name": str,
    "basis": Basis,
    "credit_on_decrease": Credit,
    "credit_on_cancel": Credit,
    "every": Interval,
    "align": Alignment,
    "when": Timing,
    "on_interval_change": IntervalChange,
    "invoice_partials_on": Partials,
    "while_suspended": Suspended,
    "rounding": Rounding,
    "anchored_on": _day,
}
_LEFT_OUT_WHEN_USUAL = (
    "every", "align", "when", "on_interval_change", "invoice_partials_on", "while_suspended",
    "rounding", "anchored_on",
)  # fmt: skip
DEFAULT_POLICY = ProrationPolicy()


@dataclass(frozen=True, slots=True)
class ProrationPolicies:
    """The operator's default, and what differs by brand, product and billing account.

    The most particular word counts, field by field: account, product, brand, default.
    """

    default: ProrationPolicy
    by_brand: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    by_product: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    by_account: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, *, product: str, brand: str = "", account: str = "") -> ProrationPolicy:
        """Return the policy of a product for a billing account of a brand."""
        differing = [
            (key, told[key])
            for told, key in (
                (self.by_brand, brand),
                (self.by_product, product),
                (self.by_account, account),
            )
            if key in told
        ]
        if not differing:
            return self.default
        values = self.default.as_json()
        for key, fields_told in differing:
            values |= {"name": key, **fields_told}
        return ProrationPolicy.from_json(values)


@cache
def load_policies(path: Path) -> ProrationPolicies:
    """Read `proration.yaml`; a missing file means the built-in default for every product.

    Read once per process: a charge keeps the policy it was made under, so an edit only concerns
    charges made after the next start.

    Raises:
        UnknownPolicy: The file is not understood.
    """
    if not path.exists():
        return ProrationPolicies(DEFAULT_POLICY)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnknownPolicy(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict) or set(content) - {"default", *_PARTICULAR}:
        raise UnknownPolicy(
            f"{path} has the keys 'default', 'brands', 'products' and 'accounts', nothing else."
        )
    try:
        policies = ProrationPolicies(
            _from_file({"name": "default"} | _part(content, "default")),
            *({str(k): v or {} for k, v in _part(content, p).items()} for p in _PARTICULAR),
        )
        for told in (policies.by_brand, policies.by_product, policies.by_account):
            for differing in told.values():
                _from_file(differing)
    except UnknownPolicy as error:
        raise UnknownPolicy(f"{path}: {error.message}") from None
    return policies


_PARTICULAR = ("brands", "products", "accounts")


def _part(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = content.get(name) or {}
    if not isinstance(part, dict):
        raise UnknownPolicy(f"'{name}' is a list of names and values, not {part!r:.40}.")
    return part


def _from_file(values: Mapping[str, Any]) -> ProrationPolicy:
    if not isinstance(values, Mapping):
        raise UnknownPolicy("What differs from the default is a list of fields and values.")
    if "anchored_on" in values:
        raise UnknownPolicy("'anchored_on' belongs to a charge, not to a file.")
    return ProrationPolicy.from_json(values)
