"""Jobs: their states, what they remember, and how the API shows them (fact sheet E.1, E.4)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from ..storage.values import datetime_json

JOB_PREFIX = "750"
DELIMITERS = {
    "BACKQUOTE": "`",
    "CARET": "^",
    "COMMA": ",",
    "PIPE": "|",
    "SEMICOLON": ";",
    "TAB": "\t",
}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
INGEST_OPERATIONS = ("insert", "update", "upsert", "delete", "hardDelete")
QUERY_OPERATIONS = ("query", "queryAll")


class State(StrEnum):
    """Where a job is; the last three are final."""

    OPEN = "Open"
    UPLOAD_COMPLETE = "UploadComplete"
    IN_PROGRESS = "InProgress"
    JOB_COMPLETE = "JobComplete"
    FAILED = "Failed"
    ABORTED = "Aborted"


FINAL = frozenset({State.JOB_COMPLETE, State.FAILED, State.ABORTED})


@dataclass(slots=True)
class Job:
    """One job; `next_row` and `waiting` say where its work has to go on."""

    id: str
    is_query: bool
    operation: str
    object: str
    state: State
    user_id: str
    username: str
    version: str
    created_s: int
    changed_s: int
    line_ending: str = "LF"
    delimiter: str = "COMMA"
    external_id: str | None = None
    assignment_rule: str | None = None
    query: str | None = None
    origin: str = ""  # what change events of its records tell (fact sheet H.3)
    error: str | None = None
    processed: int = 0
    failed: int = 0
    retries: int = 0
    total_ms: int = 0
    active_ms: int = 0
    next_row: int = 0
    parts: int = 0
    waiting: list[int] = field(default_factory=list)  # rows whose locks were held

    @classmethod
    def from_body(cls, body: bytes | str) -> "Job":
        """Return a job as stored."""
        job = cls(**orjson.loads(body))
        job.state = State(job.state)
        return job

    def body(self) -> str:
        """Return the form a job is stored in."""
        return orjson.dumps(self).decode()

    @property
    def separator(self) -> str:
        """The character between columns."""
        return DELIMITERS[self.delimiter]

    @property
    def newline(self) -> str:
        """The characters that end a row."""
        return LINE_ENDINGS[self.line_ending]

    def as_short(self) -> dict[str, Any]:
        """Return what a change of state answers."""
        shown: dict[str, Any] = {
            "id": self.id,
            "operation": self.operation,
            "object": self.object,
            "createdById": self.user_id,
            "createdDate": datetime_json(self.created_s),
            "systemModstamp": datetime_json(self.changed_s),
            "state": self.state.value,
        }
        if self.external_id is not None:
            shown["externalIdFieldName"] = self.external_id
        if self.assignment_rule is not None:
            shown["assignmentRuleId"] = self.assignment_rule
        shown["concurrencyMode"] = "Parallel"
        shown["contentType"] = "CSV"
        shown["apiVersion"] = float(self.version)
        return shown

    def as_created(self) -> dict[str, Any]:
        """Return what the creating call answers."""
        shown = self.as_short()
        if self.state is State.OPEN:
            shown["contentUrl"] = f"services/data/v{self.version}/jobs/ingest/{self.id}/batches"
        return shown | self._format()

    def as_listed(self) -> dict[str, Any]:
        """Return an entry of the list of jobs."""
        shown = self.as_created()
        shown["jobType"] = "V2Query" if self.is_query else "V2Ingest"
        return shown

    def as_info(self) -> dict[str, Any]:
        """Return everything a caller may know."""
        shown = self.as_listed()
        shown["numberRecordsProcessed"] = self.processed
        if not self.is_query:
            shown["numberRecordsFailed"] = self.failed
        shown["retries"] = self.retries
        shown["totalProcessingTime"] = self.total_ms
        if self.is_query:
            shown["isPkChunkingSupported"] = True
        else:
            shown["apiActiveProcessingTime"] = self.active_ms
            shown["apexProcessingTime"] = 0
        if self.error is not None:
            shown["errorMessage"] = self.error
        return shown

    def _format(self) -> dict[str, Any]:
        return {"lineEnding": self.line_ending, "columnDelimiter": self.delimiter}
