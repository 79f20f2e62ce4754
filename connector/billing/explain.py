"""Why a line has its amount: the stored derivation, as text people can follow."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

# The order in which a person reckons; the store keeps none. What is not listed comes after.
_ORDER = (
    "quantity", "unit_price", "discount_percent", "discounts", "monthly", "per_period",
    "served_from", "served_to", "period_from", "period_to", "days", "of_days", "basis",
)  # fmt: skip
_SAID = ("text", "steps")  # by the parts, and by the table of the whole document


def explain_line(line: Mapping[str, Any], *, currency: str) -> str:
    """Return the derivation of a line, ending in its amount.

    `line` has `line_no`, `description`, `amount` and the stored `explanation`.
    """
    why: Mapping[str, Any] = line["explanation"]
    parts: Sequence[Mapping[str, Any]] = why.get("parts", ())
    rows = [f"Line {line['line_no']}: {line['description']}"]
    rows += [f"  {name}: {value}" for name, value in _inputs(why)]
    if "value" in why:
        rounding = why.get("rounding", {})
        rows.append(
            f"  exact value {why['value']}, rounded {rounding.get('mode')} "
            f"to {rounding.get('places')} places: {rounding.get('to')}"
        )
    width = max((len(str(part["amount"])) for part in parts), default=0)
    rows += [f"  {part['amount']!s:>{width}}  {part['text']}" for part in parts]
    total = sum((Decimal(str(part["amount"])) for part in parts), Decimal(0))
    rows.append(f"  {total!s:>{width}}  {currency}, the amount of the line")
    return "\n".join(rows)


def adds_up(line: Mapping[str, Any]) -> bool:
    """Return whether the parts of a line's explanation sum to its amount, exactly."""
    parts = line["explanation"].get("parts", ())
    total = sum((Decimal(str(part["amount"])) for part in parts), Decimal(0))
    return bool(total == line["amount"])


def _inputs(why: Mapping[str, Any]) -> list[tuple[str, str]]:
    inputs: Mapping[str, Any] = why.get("inputs", {})
    policy: Mapping[str, Any] = why.get("policy", {})
    sources: Mapping[str, Any] = why.get("sources", {})
    names = sorted(inputs, key=lambda n: (_ORDER.index(n) if n in _ORDER else len(_ORDER), n))
    rows = [(name.replace("_", " "), str(inputs[name])) for name in names if name not in _SAID]
    if policy:
        said = ", ".join(f"{name} {value}" for name, value in policy.items() if name != "name")
        rows.append((f"policy '{policy.get('name')}'", said))
    known = ", ".join(f"{name} {value}" for name, value in sources.items() if value)
    if known:
        rows.append(("from", known))
    credits = why.get("credits")
    if credits:
        rows.append(("gives back", f"{credits['invoice']} line {credits['line']}"))
    return rows
