"""Proration as data: what a part of a billing month costs (design D9, domain 3.4)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from connector.errors import Misconfigured


class Basis(StrEnum):
    """How many days a month has."""

    ACTUAL = "actual"  # the days of this very billing month
    FIXED_30 = "fixed30"  # always thirty; a whole month still costs the whole price
    FULL = "full"  # a month that was begun costs the whole price
    NONE = "none"  # only whole months cost anything


class Credit(StrEnum):
    """What happens to days that were billed ahead and are not wanted any more."""

    PRORATED = "prorated"  # given back, day by day
    NONE = "none"  # kept: the old price stands until its billing month ends


class UnknownPolicy(Misconfigured):
    """A policy file says something that is not understood."""

    code = "charging.unknown_policy"
    remedy = "See connector/charging/README.md for the fields and their values."


@dataclass(frozen=True, slots=True)
class ProrationPolicy:
    """Says which days are billed, what a day costs and what is given back."""

    name: str = "default"
    basis: Basis = Basis.ACTUAL
    bill_first_day: bool = True
    bill_last_day: bool = False
    credit_on_decrease: Credit = Credit.PRORATED
    credit_on_cancel: Credit = Credit.PRORATED
    min_charge_days: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return it by name and value, as a charge keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "ProrationPolicy":
        """Return the policy a charge was made under, or one from a file.

        Raises:
            UnknownPolicy: A field or a value is not known.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise UnknownPolicy(f"A proration policy has no field '{unknown[0]}'.")
        for name in ("bill_first_day", "bill_last_day"):
            if not isinstance(values.get(name, False), bool):
                raise UnknownPolicy(f"'{name}' of a proration policy is yes or no.")
        days = values.get("min_charge_days", 0)
        if not isinstance(days, int) or isinstance(days, bool) or days < 0:
            raise UnknownPolicy("'min_charge_days' of a proration policy is a number from 0 on.")
        try:
            return cls(
                name=str(values.get("name", "default")),
                basis=Basis(values.get("basis", Basis.ACTUAL)),
                bill_first_day=values.get("bill_first_day", True),
                bill_last_day=values.get("bill_last_day", False),
                credit_on_decrease=Credit(values.get("credit_on_decrease", Credit.PRORATED)),
                credit_on_cancel=Credit(values.get("credit_on_cancel", Credit.PRORATED)),
                min_charge_days=days,
            )
        except ValueError as error:
            raise UnknownPolicy(f"A proration policy says something unknown: {error}.") from None


DEFAULT_POLICY = ProrationPolicy()


@dataclass(frozen=True, slots=True)
class ProrationPolicies:
    """The operator's default and the products that differ from it."""

    default: ProrationPolicy
    by_product: Mapping[str, ProrationPolicy]

    def of_product(self, product_key: str) -> ProrationPolicy:
        """Return the policy of a product."""
        return self.by_product.get(product_key, self.default)


@cache
def load_policies(path: Path) -> ProrationPolicies:
    """Read `proration.yaml`; a missing file means the built-in default for every product.

    Read once per process: a charge keeps the policy it was made under, so an edit only concerns
    charges made after the next start.

    Raises:
        UnknownPolicy: The file is not understood.
    """
    if not path.exists():
        return ProrationPolicies(DEFAULT_POLICY, {})
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UnknownPolicy(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict) or set(content) - {"default", "products"}:
        raise UnknownPolicy(f"{path} has the keys 'default' and 'products', nothing else.")
    default = content.get("default") or {}
    try:
        return ProrationPolicies(
            ProrationPolicy.from_json({"name": "default"} | default),
            {
                key: ProrationPolicy.from_json(default | {"name": key} | (differing or {}))
                for key, differing in (content.get("products") or {}).items()
            },
        )
    except UnknownPolicy as error:
        raise UnknownPolicy(f"{path}: {error.message}") from None
