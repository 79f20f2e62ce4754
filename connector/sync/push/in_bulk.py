"""Many rows of one entity as Bulk API jobs: fewer counted calls than collections would take.

A job goes on in the org when the connector dies. Its rows may then be older than what the next
pass would send, so every job is remembered before it may write, and no pass begins before the jobs
of a former one have ended.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import text

from connector.adapters.salesforce.answers import RowError, RowResult
from connector.adapters.salesforce.bulk import Bulk, Operation, Upload, uploads
from connector.adapters.salesforce.errors import OrgRefused, OrgUnavailable
from connector.store.engine import Store
from connector.sync.mapping.definition import Mapping
from connector.sync.push.state import Owed

log = structlog.get_logger(__name__)

# Rows of the jobs of one pass, one entity's. The first are smaller, so that the org begins early
# and each is prepared while the org works on the one before. The largest, about 4 MB of CSV, is in
# memory at once with the next.
JOB_SIZES = (10_000, 15_000, 25_000, 25_000, 25_000)
_REMEMBER = text("INSERT INTO bulk_job (job, entity, opened_at) VALUES (:job, :entity, :now)")
_FORGET = text("DELETE FROM bulk_job WHERE job = :job")
_OPEN = text("SELECT job, entity FROM bulk_job ORDER BY opened_at, job")
_NO_RESULT = RowError("UNKNOWN_EXCEPTION", "The bulk job told nothing about this row.")


@dataclass(frozen=True, slots=True)
class BulkDelivery:
    """Sends rows as jobs and remembers which jobs may still write."""

    store: Store
    bulk: Bulk

    def end_former_jobs(self) -> None:
        """Stop what a killed process left running; return once none of it writes any more.

        Raises:
            OrgUnavailable: One of them has not ended yet; nothing may be sent before.
        """
        with self.store.read() as tx:
            left = tx.execute(_OPEN).all()
        for row in left:
            self.bulk.stop(row.job)
            if not self.bulk.has_ended(row.job):
                raise OrgUnavailable(f"A bulk job of {row.entity} still runs in the org.")
            log.info("push.bulk_job_ended", job=row.job, entity=row.entity)
            self._forget(row.job)

    def deliver(
        self,
        mapping: Mapping,
        rows: Sequence[Owed],
        contents: Sequence[Upload],
        *,
        now: datetime,
    ) -> list[RowResult]:
        """Send the uploads made of some rows; return a result for each row, in order.

        Raises:
            TransientFailure: The org did not finish; each row may or may not be written.
        """
        push = mapping.pushed
        verb: Operation = "upsert" if push.is_keyed else "update"
        key_field = _key_field(mapping)
        results: dict[str, RowResult] = {}
        for upload in contents:
            try:
                job = self.bulk.open(verb, mapping.object, upload.content, key_field=key_field)
                with self.store.transaction() as tx:
                    tx.execute(_REMEMBER, {"job": job, "entity": mapping.entity, "now": now})
                results |= self.bulk.run(job, key_field=key_field, rows=upload.rows)
            except OrgRefused as refused:
                # The job as a whole: every row shares the reason.
                error = RowError(refused.error_code, refused.message)
                return [RowResult(success=False, errors=(error,))] * len(rows)
            self._forget(job)
        unknown = RowResult(success=False, errors=(_NO_RESULT,))
        return [results.get(key, unknown) for key in _keys(mapping, rows)]

    def _forget(self, job: str) -> None:
        with self.store.transaction() as tx:
            tx.execute(_FORGET, {"job": job})


def jobs_for(rows: int) -> int:
    """Return how many jobs so many rows of an entity take, in as many passes as it takes."""
    passes, rest = divmod(rows, sum(JOB_SIZES))
    begun = sum(1 for place in range(len(JOB_SIZES)) if sum(JOB_SIZES[:place]) < rest)
    return passes * len(JOB_SIZES) + begun


def uploads_of(mapping: Mapping, rows: Sequence[Owed]) -> list[Upload]:
    """Write rows as the uploads of their jobs; one, unless they exceed what an upload may hold."""
    return list(uploads(_records(mapping, rows), key_field=_key_field(mapping)))


def _records(mapping: Mapping, rows: Sequence[Owed]) -> Iterator[dict[str, object]]:
    key_field = _key_field(mapping)
    for start in range(0, len(rows), _READ_AT_ONCE):
        part = rows[start : start + _READ_AT_ONCE]
        bodies = _BODY.decode(f"[{','.join(owed.body or '{}' for owed in part)}]")
        for key, body in zip(_keys(mapping, part), bodies, strict=True):
            body[key_field] = key
            yield body


_READ_AT_ONCE = 500  # one by one, most of the time is spent on beginning
# Numbers stay the digits PostgreSQL wrote: they are never computed with.
_BODY = json.JSONDecoder(parse_float=str, parse_int=str)


def _key_field(mapping: Mapping) -> str:
    return mapping.pushed.key if mapping.pushed.is_keyed else "Id"


def _keys(mapping: Mapping, rows: Sequence[Owed]) -> list[str]:
    if mapping.pushed.is_keyed:
        return [owed.external_key for owed in rows]
    return [owed.sfid or "" for owed in rows]
