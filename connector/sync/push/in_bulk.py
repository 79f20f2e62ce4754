"""Many rows of one entity as Bulk API jobs: fewer counted calls than collections would take.

A job goes on in the org when the connector dies. Its rows may then be older than what the next
pass would send, so every job is remembered before it may write, and no pass begins before the jobs
of a former one have ended.
"""

import json
from collections.abc import Mapping as Row
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import structlog
from sqlalchemy import text

from connector.adapters.salesforce.answers import RowError, RowResult
from connector.adapters.salesforce.bulk import Bulk, Operation, uploads
from connector.adapters.salesforce.errors import OrgRefused, OrgUnavailable
from connector.store.engine import Store
from connector.sync.mapping.definition import Mapping
from connector.sync.push.state import Owed

log = structlog.get_logger(__name__)

ROWS_PER_JOB = 50_000  # in memory at once; about 25 MB of CSV
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

    def deliver(self, mapping: Mapping, rows: Sequence[Owed], *, now: datetime) -> list[RowResult]:
        """Send rows; return a result for each, in order.

        Raises:
            TransientFailure: The org did not finish; each row may or may not be written.
        """
        push = mapping.pushed
        verb: Operation = "upsert" if push.is_keyed else "update"
        key_field = push.key if push.is_keyed else "Id"
        results: dict[str, RowResult] = {}
        records = (_record(mapping, owed) for owed in rows)
        for content in uploads(records, key_field=key_field):
            try:
                job = self.bulk.open(verb, mapping.object, content, key_field=key_field)
                with self.store.transaction() as tx:
                    tx.execute(_REMEMBER, {"job": job, "entity": mapping.entity, "now": now})
                results |= self.bulk.run(job, key_field=key_field)
            except OrgRefused as refused:
                # The job as a whole: every row shares the reason.
                error = RowError(refused.error_code, refused.message)
                return [RowResult(success=False, errors=(error,))] * len(rows)
            self._forget(job)
        return [
            results.get(_key(mapping, owed), RowResult(success=False, errors=(_NO_RESULT,)))
            for owed in rows
        ]

    def _forget(self, job: str) -> None:
        with self.store.transaction() as tx:
            tx.execute(_FORGET, {"job": job})


def _record(mapping: Mapping, owed: Owed) -> Row[str, object]:
    body: dict[str, object] = json.loads(owed.body or "{}", parse_float=Decimal)
    identity = mapping.pushed.key if mapping.pushed.is_keyed else "Id"
    return {identity: _key(mapping, owed)} | body


def _key(mapping: Mapping, owed: Owed) -> str:
    if mapping.pushed.is_keyed:
        return owed.external_key
    return owed.sfid or ""
