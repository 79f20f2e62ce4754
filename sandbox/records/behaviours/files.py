"""Files: a version makes or extends a document (fact sheet I.2)."""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ...ids import normalize
from ...schema.model import ObjectType
from ..draft import Draft
from ..transaction import Row
from .base import Behaviour

if TYPE_CHECKING:
    from ..save import Writer


class ContentVersionBehaviour(Behaviour):
    """Creates the document of a first version; a later version becomes the latest."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Derive size, checksum and type; create the document."""
        tx = writer.tx
        for draft in drafts:
            new = draft.new
            if not draft.creating:
                continue
            if not new["PathOnClient"] or (new["VersionData"] is None and not new["ContentUrl"]):
                missing = "PathOnClient" if not new["PathOnClient"] else "VersionData"
                message = f"Required fields are missing: [{missing}]"
                draft.refuse("REQUIRED_FIELD_MISSING", message, missing)
                continue
            place = new["FirstPublishLocationId"]
            if place is not None and (known := normalize(place)) is None:
                message = f"First Publish Location ID: id value of incorrect type: {place}"
                draft.refuse("MALFORMED_ID", message, "FirstPublishLocationId")
                continue
            new["FirstPublishLocationId"] = known if place is not None else None
            _describe_content(new)
            new["IsLatest"] = 1
            new["VersionNumber"] = "1"
            document = tx.schema.get("ContentDocument")
            if new["ContentDocumentId"] is None:
                values = {"Title": new["Title"], "OwnerId": new["OwnerId"]}
                new["ContentDocumentId"] = writer.insert(document, [values])[0]
            else:
                former = tx.fetch_where(item, "ContentDocumentId", [new["ContentDocumentId"]])
                new["VersionNumber"] = str(len(former) + 1)
                writer.touch(item, {r["Id"]: {"IsLatest": 0} for r in former if r["IsLatest"]})

    def after(self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft]) -> None:
        """Point the document to its latest version and link it where it was published."""
        schema = writer.tx.schema
        created = [draft for draft in drafts if draft.creating]
        documents = {
            d.new["ContentDocumentId"]: {
                "LatestPublishedVersionId": d.id,
                "Title": d.new["Title"],
                "FileType": d.new["FileType"],
                "FileExtension": d.new["FileExtension"],
                "ContentSize": d.new["ContentSize"],
            }
            for d in created
        }
        writer.touch(schema.get("ContentDocument"), documents)
        links: list[Row] = [
            {
                "ContentDocumentId": d.new["ContentDocumentId"],
                "LinkedEntityId": d.new["FirstPublishLocationId"],
                "ShareType": "V",
            }
            for d in created
            if d.new["FirstPublishLocationId"]
        ]
        if links:
            writer.insert(schema.get("ContentDocumentLink"), links)


def _describe_content(new: Row) -> None:
    path = PurePosixPath(new["PathOnClient"].replace("\\", "/"))
    new["Title"] = new["Title"] or path.stem
    extension = path.suffix.removeprefix(".").lower()
    new["FileExtension"] = extension or None
    new["FileType"] = extension.upper() or "UNKNOWN"
    data = base64.b64decode(new["VersionData"] or "")
    new["ContentSize"] = len(data)
    # Salesforce shows an MD5 here; it guards nothing.
    new["Checksum"] = hashlib.md5(data, usedforsecurity=False).hexdigest()
