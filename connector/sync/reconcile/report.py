"""What a comparison of both sides found, and how it is written down."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from connector.kernel.money import shown_exactly

CSV_COLUMNS = ("entity", "object", "kind", "name", "owner", "hub", "crm", "records")


@dataclass(frozen=True, slots=True)
class Drifted:
    """One record that differs; `hub_id` is None for one the hub does not know."""

    kind: str
    hub_id: int | None
    sfid: str | None
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sums:
    """The amounts of one currency on both sides."""

    currency: str
    hub: Decimal
    crm: Decimal


@dataclass(frozen=True, slots=True)
class EntityReport:
    """One entity compared; `fields` counts differing records per field and names its owner.

    `in_conflict` counts records with a field that differs because a person has not decided yet
    whose value it gets. That is no drift; of such a record other fields may drift nevertheless.
    """

    entity: str
    object: str
    source: str  # "query" or "bulk": how the CRM's side was read
    hub_rows: int
    crm_rows: int
    missing: int
    extra: int
    differing: int
    pending: int
    in_conflict: int
    fields: dict[str, dict[str, int | str]]
    sums: tuple[Sums, ...]
    sample: tuple[Drifted, ...]

    @property
    def drift(self) -> int:
        """Return how many records are not as they should be."""
        return self.missing + self.extra + self.differing


@dataclass(frozen=True, slots=True)
class ReconcileReport:
    """Both sides compared.

    `deleted` counts records taken out of the CRM because the hub does not know them; `kept` has
    those that were to go and stay, with the reason.
    """

    made_at: datetime
    drift: int
    repaired: int
    api_calls: int
    entities: tuple[EntityReport, ...]
    deleted: int = 0
    kept: dict[str, str] = field(default_factory=dict)


def as_text(report: ReconcileReport) -> str:
    """Return the report for a reader: a line per object, its sums, what drifts and whose it is."""
    lines: list[str] = []
    for one in report.entities:
        lines += _entity_lines(one)
    lines += [f"{sfid} stays in the CRM: {why}" for sfid, why in report.kept.items()]
    said = f"Drift: {report.drift}."
    if report.repaired:
        said += f" {report.repaired} records owed to the CRM again."
    if report.deleted:
        said += f" {report.deleted} deleted in the CRM."
    if in_conflict := sum(one.in_conflict for one in report.entities):
        said += f" {in_conflict} in conflict: see `l2c sync conflicts list`."
    return "\n".join([*lines, said])


def _entity_lines(one: EntityReport) -> Iterator[str]:
    line = f"{one.object:26} hub {one.hub_rows:8}  CRM {one.crm_rows:8}"
    if one.pending:
        line += f"  {one.pending} pending"
    if one.in_conflict:
        line += f"  {one.in_conflict} in conflict"
    if one.drift:
        line += f"  {one.missing} missing, {one.extra} extra, {one.differing} different"
    yield line
    for name, about in one.fields.items():
        yield f"{'':26} {name} ({about['owner']}): {about['records']}"
    for total in one.sums:
        sign = "=" if total.hub == total.crm else "≠"
        hub, crm = (shown_exactly(amount, total.currency) for amount in (total.hub, total.crm))
        yield f"{'':26} {total.currency} {hub} {sign} {crm}"


def as_csv(report: ReconcileReport) -> str:
    """Return the report as a table: one line per count, field, sum and sampled record."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for one in report.entities:
        writer.writerows((one.entity, one.object, *rest) for rest in _measures(one))
    return out.getvalue()


def _measures(one: EntityReport) -> Iterator[tuple[object, ...]]:
    yield "rows", "", "", one.hub_rows, one.crm_rows, ""
    for kind in ("missing", "extra", "differing", "pending", "in_conflict"):
        yield kind, "", "", "", "", getattr(one, kind)
    for name, about in one.fields.items():
        yield "field", name, about["owner"], "", "", about["records"]
    for total in one.sums:
        yield "sum", total.currency, "", f"{total.hub:f}", f"{total.crm:f}", ""
    for record in one.sample:
        name = " ".join((record.kind, *record.fields))
        yield "record", name, "", record.hub_id or "", record.sfid or "", 1
