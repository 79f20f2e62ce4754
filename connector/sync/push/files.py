"""Files beside records of the CRM, such as the PDF of an invoice (fact sheet I.2, ContentVersion).

A file carries a unique key, so that one whose answer was lost is found again instead of being sent
twice. It is published on the record it belongs to and linked to one more where the mapping says.
"""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Row, TextClause, text

from connector.adapters.salesforce.answers import RowResult, Subrequest, results_of
from connector.adapters.salesforce.client import ROWS_PER_COLLECTION, OrgClient
from connector.errors import TransientFailure
from connector.store.engine import Store
from connector.sync.budget.usage import record_calls
from connector.sync.mapping.definition import FileOf, Mapping, Mappings
from connector.sync.mapping.keys import hub_key
from connector.sync.push.collapse import mark
from connector.sync.push.verdict import Refusal, Verdict, judge
from connector.sync.push.wake import TRIES_MAX

log = structlog.get_logger(__name__)

FILES_PER_RUN = 1_000
FILES_PER_CALL = 100
BYTES_PER_CALL = 6_000_000  # a body may have 50 MB, and base64 takes a third more
KEY = "L2C_Billing_Key__c"
_IDS_PER_QUERY = 100
_TAKEN = "DUPLICATE_VALUE"

_REMEMBER = text("""
    INSERT INTO crm_record AS r (entity, hub_id, object, sfid, born, known, status, synced_at)
    VALUES (:entity, :hub_id, 'ContentVersion', :sfid, 'hub', CAST(:known AS jsonb), 'In Sync',
            :now)
    ON CONFLICT (entity, hub_id) DO UPDATE
       SET sfid = excluded.sfid, known = excluded.known, status = 'In Sync', error = NULL,
           error_code = NULL, remedy = NULL, attempts = 0, next_attempt_at = NULL,
           synced_at = excluded.synced_at
""")
_REFUSED = text("""
    INSERT INTO crm_record AS r (entity, hub_id, object, born, status, error, error_code, remedy,
                                 attempts, next_attempt_at)
    VALUES (:entity, :hub_id, 'ContentVersion', 'hub', 'Error', :error, :code, :remedy, 1,
            now() + interval '1 hour')
    ON CONFLICT (entity, hub_id) DO UPDATE
       SET status = 'Error', error = excluded.error, error_code = excluded.error_code,
           remedy = excluded.remedy, attempts = r.attempts + 1,
           next_attempt_at = now() + interval '1 hour' * least(24, power(2, least(r.attempts, 6)))
""")


@dataclass(frozen=True, slots=True)
class FilesReport:
    """What one run did."""

    sent: int = 0
    refused: int = 0
    api_calls: int = 0
    interrupted: str | None = None


@dataclass(frozen=True, slots=True)
class _File:
    """One file to send: its own key, the record it is published on, one more to link it to."""

    hub_id: int
    key: str
    digest: str
    record_sfid: str
    also_on: str | None
    document: str | None
    fields: dict[str, object]


def push_files(
    *, store: Store, org: OrgClient, mappings: Mappings, now: datetime, limit: int = FILES_PER_RUN
) -> FilesReport:
    """Send the files that the CRM does not have yet, at most `limit`; repeated, it sends no more.

    An org that does not answer ends the run: the report says so, nothing is lost.
    """
    calls_before = org.calls
    sent = refused = 0
    interrupted = None
    try:
        for mapping in mappings.pushed:
            if mapping.beside is None:
                continue
            for batch in _batches(store, mapping, mapping.beside, limit=limit):
                done, failed = _send(store, org, mapping, batch, now=now)
                sent += done
                refused += failed
    except TransientFailure as failure:
        interrupted = str(failure)
    calls = org.calls - calls_before
    if calls:
        with store.transaction() as tx:
            record_calls(tx=tx, calls=calls, limit=org.limit_info, now=now)
        log.info("files.done", sent=sent, refused=refused, api_calls=calls)
    return FilesReport(sent=sent, refused=refused, api_calls=calls, interrupted=interrupted)


def files_owed(tx: Connection, mappings: Mappings) -> int:
    """Return how many files the CRM does not have yet and may have now."""
    return sum(
        len(tx.execute(_pending(one.beside), _facts(one) | {"limit": FILES_PER_RUN}).all())
        for one in mappings.pushed
        if one.beside is not None
    )


def file_entity(mapping: Mapping) -> str:
    """Return the name under which the file of a record is remembered."""
    return f"{mapping.entity}_file"


def _facts(mapping: Mapping) -> dict[str, object]:
    return {"entity": mapping.entity, "files": file_entity(mapping), "tries_max": TRIES_MAX}


def _pending(file: FileOf) -> TextClause:
    also = f'v."{file.also_on}"' if file.also_on else "CAST(NULL AS text)"
    return text(
        f"""
        SELECT v.id, v.size, v.digest, v.title, v.file_name, {also} AS also_on,
               r.sfid AS record_sfid, f.known ->> 'document' AS document
          FROM "{file.view}" v
          JOIN crm_record r ON r.entity = :entity AND r.hub_id = v.id AND r.sfid IS NOT NULL
          LEFT JOIN crm_record f ON f.entity = :files AND f.hub_id = v.id
         WHERE f.known ->> 'digest' IS DISTINCT FROM v.digest
           AND (f.next_attempt_at IS NULL OR f.next_attempt_at <= now())
           AND coalesce(f.attempts, 0) < :tries_max
         ORDER BY v.id LIMIT :limit"""  # noqa: S608 - names come from checked mappings
    )


def _batches(store: Store, mapping: Mapping, file: FileOf, *, limit: int) -> Iterator[list[_File]]:
    with store.read() as tx:
        owed = tx.execute(_pending(file), _facts(mapping) | {"limit": limit}).all()
    batch: list[Row[Any]] = []
    size = 0
    for row in owed:
        if batch and (len(batch) == FILES_PER_CALL or size + row.size > BYTES_PER_CALL):
            yield _read(store, mapping, file, batch)
            batch, size = [], 0
        batch.append(row)
        size += row.size
    if batch:
        yield _read(store, mapping, file, batch)


def _read(store: Store, mapping: Mapping, file: FileOf, rows: Sequence[Row[Any]]) -> list[_File]:
    statement = text(
        f'SELECT id, content FROM "{file.view}" WHERE id = ANY(:ids)'  # noqa: S608 - checked name
    )
    with store.read() as tx:
        found = tx.execute(statement, {"ids": [row.id for row in rows]})
        contents = {row.id: bytes(row.content) for row in found}
    return [_file(mapping, row, contents[row.id]) for row in rows if row.id in contents]


def _file(mapping: Mapping, row: Row[Any], content: bytes) -> _File:
    key = f"{hub_key(file_entity(mapping), row.id)}:{row.digest[:12]}"
    fields: dict[str, object] = {
        KEY: key,
        "Title": row.title,
        "PathOnClient": row.file_name,
        "VersionData": base64.b64encode(content).decode(),
    }
    # A document that is there gets a new version and keeps its links.
    if row.document:
        fields["ContentDocumentId"] = row.document
    else:
        fields["FirstPublishLocationId"] = row.record_sfid
    return _File(row.id, key, row.digest, row.record_sfid, row.also_on, row.document, fields)


def _send(
    store: Store, org: OrgClient, mapping: Mapping, files: Sequence[_File], *, now: datetime
) -> tuple[int, int]:
    results = _create(org, "ContentVersion", [file.fields for file in files])
    refused = {
        file.hub_id: judge(result.errors, is_update=False)
        for file, result in zip(files, results, strict=True)
        if not result.success and not _is_taken(result)
    }
    there = _find(org, [file.key for file in files if file.hub_id not in refused])
    arrived = [file for file in files if file.key in there]
    _link(org, [(there[file.key][1], file.also_on) for file in arrived if file.also_on])
    with store.transaction() as tx:
        for file in arrived:
            sfid, document = there[file.key]
            known = json.dumps({"digest": file.digest, "document": document})
            tx.execute(
                _REMEMBER,
                {
                    "entity": file_entity(mapping),
                    "hub_id": file.hub_id,
                    "sfid": sfid,
                    "known": known,
                    "now": now,
                },
            )
        # The record itself tells where its file is.
        mark(tx=tx, entity=mapping.entity, keys=[file.hub_id for file in arrived])
        dead = _keep_refused(tx, mapping, refused)
    return len(arrived), dead


def _keep_refused(tx: Connection, mapping: Mapping, refused: dict[int, Refusal]) -> int:
    dead = {key: one for key, one in refused.items() if one.verdict is not Verdict.RETRY}
    for hub_id, refusal in dead.items():
        tx.execute(
            _REFUSED,
            {
                "entity": file_entity(mapping),
                "hub_id": hub_id,
                "error": refusal.message,
                "code": refusal.code,
                "remedy": refusal.remedy,
            },
        )
    return len(dead)


def _is_taken(result: RowResult) -> bool:
    return any(error.code == _TAKEN for error in result.errors)


def _create(org: OrgClient, object_name: str, rows: Sequence[dict[str, object]]) -> list[RowResult]:
    results: list[RowResult] = []
    for start in range(0, len(rows), ROWS_PER_COLLECTION):
        part = rows[start : start + ROWS_PER_COLLECTION]
        records = [{"attributes": {"type": object_name}} | row for row in part]
        body = {"allOrNone": False, "records": records}
        (answer,) = org.composite([Subrequest("POST", "composite/sobjects", "files", body)])
        results += results_of(answer, len(part))
    return results


def _find(org: OrgClient, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return version and document id of each key that is there."""
    found: dict[str, tuple[str, str]] = {}
    for start in range(0, len(keys), _IDS_PER_QUERY):
        listed = ", ".join(f"'{key}'" for key in keys[start : start + _IDS_PER_QUERY])
        query = (
            f"SELECT Id, ContentDocumentId, {KEY} FROM ContentVersion "  # noqa: S608 - our own keys
            f"WHERE {KEY} IN ({listed})"
        )
        for row in org.query(query):
            found[row[KEY].lower()] = (row["Id"], row["ContentDocumentId"])
    return {key: found[key.lower()] for key in keys if key.lower() in found}


def _link(org: OrgClient, wanted: Sequence[tuple[str, str]]) -> None:
    """Link documents to records, once each."""
    documents = sorted({document for document, _ in wanted})
    linked: set[tuple[str, str]] = set()
    for start in range(0, len(documents), _IDS_PER_QUERY):
        listed = ", ".join(f"'{one}'" for one in documents[start : start + _IDS_PER_QUERY])
        query = (
            "SELECT ContentDocumentId, LinkedEntityId FROM ContentDocumentLink "  # noqa: S608
            f"WHERE ContentDocumentId IN ({listed})"
        )
        linked |= {(r["ContentDocumentId"], r["LinkedEntityId"]) for r in org.query(query)}
    _create(
        org,
        "ContentDocumentLink",
        [
            {"ContentDocumentId": document, "LinkedEntityId": record, "ShareType": "V"}
            for document, record in wanted
            if (document, record) not in linked
        ],
    )
