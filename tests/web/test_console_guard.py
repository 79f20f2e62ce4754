"""Who may see the console, and what a page may do in a browser."""

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import requests
from console_world import JULY, App, ConsoleWorld, Door, Visitor

import connector.web
from connector.config import Settings
from connector.store.engine import Store
from connector.web.server import WebServer

TOKEN = "correct horse battery staple"


@pytest.fixture
def door(store: Store) -> Iterator[Door]:
    made = Door(store, {"console_token": TOKEN})
    yield made
    made.close()


@pytest.fixture
def open_door(store: Store) -> Iterator[Door]:
    made = Door(store)
    yield made
    made.close()


class TestWithoutToken:
    @pytest.mark.parametrize(
        ("address", "host"),
        [
            ("127.0.0.1", "localhost:8080"),
            ("127.0.0.1", "127.0.0.1:1"),
            ("127.8.9.10", "localhost"),
            ("::1", "[::1]:8080"),
            ("::1", "[::1]"),
        ],
    )
    def test_opens_to_this_machine(self, open_door: Door, address: str, host: str) -> None:
        assert open_door.visitor(address=address, host=host).get("/console/").status_code == 200

    @pytest.mark.parametrize("address", ["10.0.0.7", "192.168.1.2", "fe80::1", "::ffff:10.0.0.7"])
    def test_refuses_every_other_machine(self, open_door: Door, address: str) -> None:
        answer = open_door.visitor(address=address).get("/console/")

        assert answer.status_code == 403
        assert "web.console_token" in answer.text

    @pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8080", "127.0.0.2"])
    def test_refuses_a_page_that_reaches_us_under_a_foreign_name(
        self, open_door: Door, host: str
    ) -> None:
        assert open_door.visitor(host=host).get("/console/").status_code == 403

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
    def test_refuses_strangers_behind_a_proxy_on_this_machine(
        self, open_door: Door, header: str
    ) -> None:
        answer = open_door.visitor().get("/console/", headers={header: "203.0.113.9"})

        assert answer.status_code == 403

    def test_refuses_the_account_pages_and_pdfs_as_well(self, open_door: Door) -> None:
        stranger = open_door.visitor(address="10.0.0.7")

        assert stranger.get("/console/accounts/1").status_code == 403
        assert stranger.get("/console/invoices/1.pdf").status_code == 403

    def test_asks_nobody_for_a_token_that_is_not_set(self, open_door: Door) -> None:
        answer = open_door.visitor().get("/console/enter")

        assert (answer.status_code, answer.location) == (302, "/console/")


class TestWithToken:
    @pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7"])
    def test_sends_everybody_to_the_door_first(self, door: Door, address: str) -> None:
        answer = door.visitor(address=address).get("/console/")

        assert (answer.status_code, answer.location) == (302, "/console/enter")

    def test_lets_a_program_in_by_bearer_token(self, door: Door) -> None:
        visitor = door.visitor(address="10.0.0.7", host="billing.example")

        assert visitor.get("/console/", {"Authorization": f"Bearer {TOKEN}"}).status_code == 200

    @pytest.mark.parametrize("given", ["Bearer wrong", "Bearer ", f"Basic {TOKEN}", "Bearer ü"])
    def test_refuses_a_wrong_bearer_token(self, door: Door, given: str) -> None:
        answer = door.visitor().get("/console/", {"Authorization": given})

        assert answer.status_code == 401
        assert TOKEN not in answer.text

    def test_lets_a_person_in_who_knows_the_token(self, door: Door) -> None:
        visitor = door.visitor(address="10.0.0.7", host="billing.example")

        entered = visitor.post("/console/enter", {"token": TOKEN})

        cookie = entered.headers["Set-Cookie"]
        assert entered.location == "/console/"
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        assert visitor.get("/console/").status_code == 200

    def test_keeps_a_person_out_who_does_not(self, door: Door) -> None:
        visitor = door.visitor()

        refused = visitor.post("/console/enter", {"token": "guess"})

        assert refused.status_code == 403
        assert "That is not the token." in refused.text
        assert "Set-Cookie" not in refused.headers
        assert visitor.get("/console/").status_code == 302

    @pytest.mark.parametrize("cookie", ["", "guess", TOKEN])
    def test_takes_no_cookie_but_its_own(self, door: Door, cookie: str) -> None:
        visitor = door.visitor()
        visitor.client.set_cookie("l2c_console", cookie, domain="localhost", path="/console")

        assert visitor.get("/console/").status_code == 302

    def test_a_cookie_of_another_token_is_worth_nothing(self, door: Door, store: Store) -> None:
        other = Door(store, {"console_token": "another one"})
        visitor = other.visitor()
        visitor.post("/console/enter", {"token": "another one"})
        stolen = visitor.client.get_cookie("l2c_console", path="/console")
        other.close()
        assert stolen is not None

        thief = door.visitor()
        thief.client.set_cookie("l2c_console", stolen.value, domain="localhost", path="/console")
        assert thief.get("/console/").status_code == 302


class Addresses(HTMLParser):
    """Everything a browser would fetch or run by itself, and every script."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in {"link", "img", "script", "iframe", "object", "embed", "source"}:
            self.fetched.append(given.get("href") or given.get("src") or given.get("data") or "")
        self.scripts += [tag] if tag == "script" else []
        self.scripts += [name for name, _ in attrs if name.startswith("on")]
        self.scripts += [name for name, value in attrs if (value or "").startswith("javascript:")]
        self.scripts += ["style"] if "style" in given else []


@pytest.fixture
def account(world: ConsoleWorld) -> int:
    payer = world.payer(name="Zahnzentrum Rhein")
    world.deliver(payer)
    world.bill(JULY)
    return world.account_of(payer)


class TestPages:
    def test_load_nothing_from_elsewhere_and_run_no_script(
        self, visitor: Visitor, account: int
    ) -> None:
        for path in ("/console/", f"/console/accounts/{account}", "/console/accounts/99"):
            found = Addresses()
            found.feed(visitor.get(path).text)

            assert found.fetched == ["/static/console.css"]
            assert found.scripts == []

    def test_forbid_the_browser_everything_they_do_not_need(
        self, visitor: Visitor, account: int
    ) -> None:
        for path in ("/console/", f"/console/accounts/{account}", "/console/accounts/99"):
            headers = visitor.get(path).headers

            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cache-Control"] == "no-store"

    def test_are_small(self, visitor: Visitor, account: int) -> None:
        style = Path(connector.web.__file__).with_name("static").joinpath("console.css")

        for path in ("/console/", f"/console/accounts/{account}"):
            assert len(visitor.get(path).data) + style.stat().st_size < 150_000


def test_a_real_server_on_loopback_serves_the_console(store: Store) -> None:
    server = WebServer(App(store, Settings.model_validate({"web": {"port": 0}})), threads=2)
    address = server.start()
    try:
        with requests.Session() as http:
            http.trust_env = False
            page = http.get(f"{address}/console/", timeout=10)
            style = http.get(f"{address}/static/console.css", timeout=10)
            foreign = http.get(f"{address}/console/", headers={"Host": "evil.example"}, timeout=10)
    finally:
        server.stop()

    assert (page.status_code, style.status_code, foreign.status_code) == (200, 200, 403)
    assert "Nothing is stuck." in page.text
