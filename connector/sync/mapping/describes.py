"""What the org says of its objects, kept so that nobody has to ask before every push.

Asked for at the start, every night, when a value does not seem to fit, and by
`l2c mappings check`; a changed answer tells that somebody changed the org's schema.
"""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from connector.adapters.salesforce.client import OrgClient
from connector.adapters.salesforce.errors import OrgRefused
from connector.errors import Misconfigured
from connector.store.engine import Store, to_json

_READ = text("SELECT object, content FROM org_describe WHERE object = ANY(:objects)")
_KEEP = text("""
    INSERT INTO org_describe AS d (object, content, digest, read_at)
    VALUES (:object, :content, :digest, :now)
    ON CONFLICT (object) DO UPDATE
       SET content = excluded.content, digest = excluded.digest, read_at = excluded.read_at
    RETURNING (SELECT o.digest FROM org_describe o WHERE o.object = :object) AS former
""").bindparams(bindparam("content", type_=JSONB))

_FILE_BYTES_MAX = 16 * 1024 * 1024
_OBJECT_KEYS = ("name", "createable", "updateable", "deletable", "queryable", "recordTypeInfos")
_FIELD_KEYS = (
    "name", "label", "type", "length", "precision", "scale", "digits", "createable", "updateable",
    "nillable", "defaultedOnCreate", "calculated", "externalId", "unique", "idLookup",
    "restrictedPicklist", "picklistValues", "referenceTo", "relationshipName",
    "relationshipOrder",
)  # fmt: skip


def read_describes(tx: Connection, objects: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what is kept of some objects; one that was never asked for is left out."""
    rows = tx.execute(_READ, {"objects": sorted(set(objects))})
    return {row.object: row.content for row in rows}


class Describer(Protocol):
    """Who says what an object is like: the org, or what it has said a moment ago."""

    def describe(self, object_name: str) -> dict[str, Any]:
        """Return what the org says about an object."""


def refresh_describes(
    *, store: Store, org: Describer, objects: Iterable[str], now: datetime
) -> set[str]:
    """Ask the org for some objects, one call each, and keep the answers.

    Returns those whose answer differs from the one kept before. An object the org does not show
    is left as it was.

    Raises:
        OrgUnavailable: The org does not answer.
    """
    changed: set[str] = set()
    for name in sorted(set(objects)):
        try:
            described = essence(org.describe(name))
        except OrgRefused:
            continue
        digest = hashlib.sha256(to_json(described)).hexdigest()
        with store.transaction() as tx:
            former = tx.execute(
                _KEEP, {"object": name, "content": described, "digest": digest, "now": now}
            ).scalar_one()
        if former is not None and former != digest:
            changed.add(name)
    return changed


def save_describes(folder: Path, org: OrgClient, objects: Iterable[str]) -> tuple[str, ...]:
    """Write what the org says of some objects into a folder, a file each; return their names.

    An object the org does not show is left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saved = []
    for name in sorted(set(objects)):
        try:
            described = org.describe(name)
        except OrgRefused:
            continue
        (folder / f"{name}.json").write_bytes(to_json(described))
        saved.append(name)
    return tuple(saved)


def load_describes(path: Path) -> dict[str, dict[str, Any]]:
    """Read describes from a file, or from all `*.json` files of a folder.

    Raises:
        Misconfigured: There is none, or one is no describe.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        try:
            content = json.loads(file.read_bytes()[:_FILE_BYTES_MAX], parse_float=Decimal)
            found[content["name"]] = {**content, "fields": essence(content)["fields"]}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise Misconfigured(
                f"{file} is no describe of an object.",
                remedy="Make it with `l2c mappings describe --save FOLDER`.",
            ) from None
    if not found:
        raise Misconfigured(
            f"There is no describe in {path}.",
            remedy="Make some with `l2c mappings describe --save FOLDER`.",
        )
    return found


def essence(described: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a describe that decides what fits."""
    kept: dict[str, Any] = {key: described.get(key) for key in _OBJECT_KEYS}
    kept["fields"] = [{key: field.get(key) for key in _FIELD_KEYS} for field in described["fields"]]
    # Through JSON and back: what is compared is what is kept.
    plain: dict[str, Any] = json.loads(to_json(kept), parse_float=Decimal)
    return plain
