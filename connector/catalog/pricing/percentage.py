"""A share of turnover, per transaction: rate, fixed part, free part, floor and cap."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from connector.catalog.pricing.exact import ZERO
from connector.catalog.pricing.policy import PricePolicy
from connector.catalog.pricing.refusals import UnusablePrice, require_not_negative
from connector.catalog.pricing.steps import Step


@dataclass(frozen=True, slots=True)
class Percentage:
    """A rate (0.029 is 2.9 %) and a fixed part of each transaction, within a floor and a cap.

    The first `free_units` transactions are free, or the first `free_amount` of turnover; where both
    are stated, what is used up first ends the free part. The transaction that crosses `free_amount`
    pays on the rest of it, with fixed part, floor and cap. Without `transactions` the quantity is
    one transaction, and none when it is zero.
    """

    rate: Decimal
    fixed_amount: Decimal = ZERO
    free_units: Decimal | None = None
    free_amount: Decimal | None = None
    min_amount: Decimal | None = None
    max_amount: Decimal | None = None
    transactions: tuple[Decimal, ...] | None = None

    def __post_init__(self) -> None:
        require_not_negative(
            rate=self.rate,
            fixed_amount=self.fixed_amount,
            free_units=self.free_units,
            free_amount=self.free_amount,
            min_amount=self.min_amount,
            max_amount=self.max_amount,
        )
        if self.free_units is not None and self.free_units % 1:
            raise UnusablePrice(
                field="free_units", problem=f"{self.free_units} is no number of transactions."
            )
        if None not in (self.min_amount, self.max_amount) and self._floor > self._cap:
            raise UnusablePrice(
                field="min_amount", problem=f"{self._floor} is above max_amount {self._cap}."
            )
        for position, value in enumerate(self.transactions or ()):
            if value < 0:
                require_not_negative(**{f"transactions[{position}]": value})

    @property
    def _floor(self) -> Decimal:
        return self.min_amount or ZERO

    @property
    def _cap(self) -> Decimal:
        assert self.max_amount is not None
        return self.max_amount

    def steps(self, quantity: Decimal, policy: PricePolicy) -> Sequence[Step]:  # noqa: ARG002
        """Return what each transaction costs, its parts apart.

        Raises:
            UnusablePrice: The quantity is neither the sum nor the number of the transactions.
        """
        made = self.transactions
        if made is None:
            made = (quantity,) if quantity else ()
        elif quantity not in (sum(made, ZERO), len(made)):
            raise UnusablePrice(
                field="quantity",
                problem=f"{quantity} is neither the sum nor the number of the transactions.",
                remedy="Correct it, or leave it out where transactions are listed.",
            )
        return list(self._fees(made))

    def _fees(self, made: Sequence[Decimal]) -> Iterator[Step]:
        units_left, amount_left = self.free_units, self.free_amount
        has_free = units_left is not None or amount_left is not None
        for number, value in enumerate(made, 1):
            free = None
            if has_free and units_left != 0 and amount_left != 0:
                free = value if amount_left is None else min(value, amount_left)
                units_left = None if units_left is None else units_left - 1
                amount_left = None if amount_left is None else amount_left - free
            transaction = {"transaction": Decimal(number)}
            if free == value:
                yield Step("free", ZERO, {**transaction, "quantity": value})
            else:
                yield from self._fee(value - (free or ZERO), transaction)

    def _fee(self, chargeable: Decimal, transaction: dict[str, Decimal]) -> Iterator[Step]:
        fee = chargeable * self.rate
        yield Step("percentage", fee, {**transaction, "quantity": chargeable, "rate": self.rate})
        if self.fixed_amount:
            yield Step("fixed_amount", self.fixed_amount, transaction)
            fee += self.fixed_amount
        if self.min_amount is not None and fee < self.min_amount:
            yield Step("floor", self.min_amount - fee, {**transaction, "floor": self.min_amount})
        elif self.max_amount is not None and fee > self.max_amount:
            yield Step("cap", self.max_amount - fee, {**transaction, "cap": self.max_amount})
