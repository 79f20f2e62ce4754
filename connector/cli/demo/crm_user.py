"""A person who works in the CRM: every act is a plain REST call with a user's session.

Every act first looks whether its result stands already, so the story can be told again after an
interruption without doing anything twice.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import requests
from simple_salesforce import Salesforce, format_soql

from connector.cli.demo.local_org import LocalOrg
from connector.errors import StateConflict

Row = dict[str, Any]


class CrmUser:
    """Signs in with user name and password and acts on records, as somebody in sales would."""

    def __init__(self, org: LocalOrg) -> None:
        http = requests.Session()
        http.trust_env = False
        http.verify = org.ca_file
        answer = http.post(
            f"{org.https_url}/services/oauth2/token",
            data={
                "grant_type": "password",
                "client_id": org.client_id,
                "client_secret": org.client_secret,
                "username": org.username,
                "password": org.password,
            },
            timeout=30,
        )
        answer.raise_for_status()
        self._crm = Salesforce(
            instance_url=org.https_url, session_id=answer.json()["access_token"], session=http
        )
        self.api_calls = 0

    def rows(self, soql: str, *values: str | date) -> list[Row]:
        """Return all rows of a query; each `{}` in it takes a value, quoted."""
        self.api_calls += 1
        found: list[Row] = self._crm.query_all(format_soql(soql, *values))["records"]
        return found

    def find(self, object_name: str, **equal: str) -> str | None:
        """Return the id of the one record with these values, or None."""
        wanted = " AND ".join(f"{field} = {{}}" for field in equal)
        rows = self.rows(
            f"SELECT Id FROM {object_name} WHERE {wanted} LIMIT 2",  # noqa: S608 - fixed names
            *equal.values(),
        )
        return rows[0]["Id"] if rows else None

    def ensure(self, object_name: str, *, by: Sequence[str], values: Mapping[str, Any]) -> str:
        """Return the id of the record with the values named in `by`, creating it when missing."""
        found = self.find(object_name, **{field: values[field] for field in by})
        return found if found is not None else self.create(object_name, values)

    def create(self, object_name: str, values: Mapping[str, Any]) -> str:
        """Create a record and return its id."""
        self.api_calls += 1
        created: Row = getattr(self._crm, object_name).create(dict(values))
        return str(created["id"])

    def change(self, object_name: str, sfid: str, values: Mapping[str, Any]) -> None:
        """Change fields of a record."""
        self.api_calls += 1
        getattr(self._crm, object_name).update(sfid, dict(values))

    def together(self, steps: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Do several writes in one call, all or none; return the body of each by reference id.

        Raises:
            StateConflict: The org refused one of them; nothing was written.
        """
        self.api_calls += 1
        answer = self._crm.restful(
            "composite",
            method="POST",
            json={"allOrNone": True, "compositeRequest": list(steps)},
        )
        assert answer is not None
        results = answer["compositeResponse"]
        refused = [r["body"] for r in results if r["httpStatusCode"] >= 300]
        if refused:
            raise StateConflict(f"The CRM refused the deal: {refused[0]}")
        return {r["referenceId"]: r["body"] for r in results}

    def step(self, reference: str, object_name: str, values: Mapping[str, Any]) -> Row:
        """Return one create for `together`."""
        url = f"/services/data/v{self._crm.sf_version}/sobjects/{object_name}"
        return {"method": "POST", "url": url, "referenceId": reference, "body": dict(values)}

    def complete_ready_tasks(self, *, opportunity: str, effective_on: date) -> int:
        """Report every manual task of the deal that is ready as done; return how many."""
        ready = self.rows(
            "SELECT Id, Name FROM L2C_Work_Order_Task__c "
            "WHERE Status__c IN ('Ready', 'In Progress') AND Kind__c = 'Manual' "
            "AND Action__c = null "
            "AND Work_Order__r.Customer_Order__r.Opportunity__c = {} ORDER BY Name",
            opportunity,
        )
        for task in ready:
            self.change(
                "L2C_Work_Order_Task__c",
                task["Id"],
                {"Action__c": "Complete", "Effective_On__c": effective_on.isoformat()},
            )
        return len(ready)
