"""Bulk jobs as a caller sees them."""

import csv
import io
import time
from typing import Any

import requests
from org_client import Client

FINAL = {"JobComplete", "Failed", "Aborted"}
WAIT_S = 20


class BulkClient:
    """Creates jobs and waits for them."""

    def __init__(self, org: Client) -> None:
        self.org = org

    def create(self, operation: str, object_name: str, **more: Any) -> dict[str, Any]:
        body = {"operation": operation, "object": object_name, "contentType": "CSV", **more}
        answer = self.org.post("/jobs/ingest", body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def put(self, job_id: str, data: str | bytes) -> requests.Response:
        raw = data.encode() if isinstance(data, str) else data
        headers = {"Content-Type": "text/csv"}
        return self.org.call("PUT", f"/jobs/ingest/{job_id}/batches", data=raw, headers=headers)

    def state(self, job_id: str, state: str, *, kind: str = "ingest") -> requests.Response:
        return self.org.patch(f"/jobs/{kind}/{job_id}", {"state": state})

    def load(self, operation: str, object_name: str, data: str | bytes, **more: Any) -> str:
        """Create a job with data and return its id once it is at work."""
        job_id = str(self.create(operation, object_name, **more)["id"])
        assert self.put(job_id, data).status_code == 201
        assert self.state(job_id, "UploadComplete").status_code == 200
        return job_id

    def wait(self, job_id: str, *, kind: str = "ingest") -> dict[str, Any]:
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            info = self.org.get(f"/jobs/{kind}/{job_id}").json()
            if info["state"] in FINAL:
                return dict(info)
            time.sleep(0.01)
        raise AssertionError(f"the job is still in state {info['state']}")

    def run(self, operation: str, object_name: str, data: str | bytes, **more: Any) -> "Ended":
        job_id = self.load(operation, object_name, data, **more)
        return Ended(self, job_id, self.wait(job_id))

    def result(self, job_id: str, which: str, **options: Any) -> requests.Response:
        answer = self.org.get(f"/jobs/ingest/{job_id}/{which}", **options)
        assert answer.status_code == 200, answer.text
        return answer

    def extract(self, soql: str, **more: Any) -> str:
        """Run a query job and return its id."""
        body = {"operation": "query", "query": soql} | more
        answer = self.org.post("/jobs/query", body)
        assert answer.status_code == 200, answer.text
        job_id = str(answer.json()["id"])
        assert self.wait(job_id, kind="query")["state"] == "JobComplete"
        return job_id


class Ended:
    """A job that came to its end."""

    def __init__(self, client: BulkClient, job_id: str, info: dict[str, Any]) -> None:
        self.id = job_id
        self.info = info
        self._client = client

    def raw(self, which: str) -> str:
        return self._client.result(self.id, which).text

    def rows(self, which: str) -> list[dict[str, str]]:
        text = self.raw(which)
        return [dict(row) for row in csv.DictReader(io.StringIO(text, newline=""))]

    @property
    def saved(self) -> list[dict[str, str]]:
        return self.rows("successfulResults")

    @property
    def failed(self) -> list[dict[str, str]]:
        return self.rows("failedResults")
