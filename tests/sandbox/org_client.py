"""A client that speaks plain HTTP to the org under test."""

from typing import Any

import requests

VERSION = "59.0"


class Client:
    """Calls the org as one of its users."""

    def __init__(self, base_url: str, *, admin: bool = True) -> None:
        self.base_url = base_url
        self.http = requests.Session()
        form = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
        if admin:
            form |= {"grant_type": "password", "password": "sandbox"}
            form["username"] = "admin@sandbox.example"
        else:
            form["grant_type"] = "client_credentials"
        answer = requests.post(f"{base_url}/services/oauth2/token", data=form, timeout=10)
        self.token = answer.json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        if not path.startswith(("/services", "/__sandbox__")):
            path = f"/services/data/v{VERSION}{path}"
        return self.http.request(method, self.base_url + path, timeout=10, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.call("GET", path, **options)

    def post(self, path: str, json: Any, **options: Any) -> requests.Response:
        return self.call("POST", path, json=json, **options)

    def patch(self, path: str, json: Any, **options: Any) -> requests.Response:
        return self.call("PATCH", path, json=json, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self.call("DELETE", path, **options)

    def create(self, object_name: str, **fields: Any) -> str:
        answer = self.post(f"/sobjects/{object_name}", fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def query(self, soql: str, **options: Any) -> list[dict[str, Any]]:
        answer = self.get("/query", params={"q": soql}, **options)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["records"])

    def refused(self, soql: str) -> dict[str, Any]:
        answer = self.get("/query", params={"q": soql})
        assert answer.status_code == 400, answer.text
        return dict(answer.json()[0])
