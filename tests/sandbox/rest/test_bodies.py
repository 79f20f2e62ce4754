"""Bodies that are too large, broken off or packed too well: a 4xx, and bounded memory."""

import gzip
import http.client
import io
import json
import socket
import tracemalloc
from contextlib import suppress
from itertools import repeat
from urllib.parse import urlsplit

import pytest
from l2c_sandbox.errors import ApiError
from l2c_sandbox.rest.body import Body, inflate
from l2c_sandbox.rest.http import MAX_BODY
from org_client import Client

PATH = "/services/data/v59.0/sobjects/Account"
MIB = 1_048_576
CHUNKED = "Transfer-Encoding: chunked"


def answer_to(
    org: Client, *, method: str = "POST", path: str = PATH, head: str, sent: bytes
) -> int:
    """Send a head and these bytes, say that no more will come, and return the status."""
    where = urlsplit(org.base_url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        media = "text/csv" if method == "PUT" else "application/json"
        lines = [f"{method} {path} HTTP/1.1", f"Host: {where.netloc}", f"Content-Type: {media}"]
        lines += [f"Authorization: Bearer {org.token}", head, "", ""]
        connection.sendall("\r\n".join(lines).encode() + sent)
        with suppress(OSError):  # it may have refused already
            connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status


class TestBrokenOff:
    @pytest.mark.parametrize(
        ("head", "sent"),
        [
            ("Content-Length: 100", b'{"Name": "Half"}'),
            ("Content-Length: 1000000000000", b'{"Name": "Half"}'),
            (CHUNKED, b'10\r\n{"Name": "Half"}\r\n'),
            (CHUNKED, b'20\r\n{"Name": "Half"}\r\n'),
            (CHUNKED, b'8\r\n{"Name": "Half"}\r\n0\r\n\r\n'),
            (CHUNKED, b'-10\r\n{"Name": "Half"}\r\n0\r\n\r\n'),
            (CHUNKED, b'0x10\r\n{"Name": "Half"}\r\n0\r\n\r\n'),
            (CHUNKED, b'{"Name": "Half"}'),
            (CHUNKED, b"ffffffffffffffff\r\n{}"),
            (CHUNKED, b"0\r\n" + b"A: b\r\n" * 101),
        ],
    )
    def test_a_record_that_did_not_arrive_whole_is_not_saved(
        self, org: Client, head: str, sent: bytes
    ) -> None:
        assert answer_to(org, head=head, sent=sent) == 400
        assert org.query("SELECT Id FROM Account") == []

    @pytest.mark.parametrize(
        ("head", "sent"),
        [("Content-Length: 500", b"Name\nA\n"), (CHUNKED, b"7\r\nName\nA\n\r\n")],
    )
    def test_half_of_an_upload_is_no_upload(self, org: Client, head: str, sent: bytes) -> None:
        job = org.post("/jobs/ingest", {"object": "Account", "operation": "insert"}).json()
        path = f"/services/data/v59.0/jobs/ingest/{job['id']}/batches"

        status = answer_to(org, method="PUT", path=path, head=head, sent=sent)

        again = org.call("PUT", path, data=b"Name\nA\nB\n", headers={"Content-Type": "text/csv"})
        assert (status, again.status_code) == (400, 201)

    def test_extensions_and_trailers_of_chunks_are_passed_over(self, org: Client) -> None:
        sent = b'10;why="not"\r\n{"Name": "Full"}\r\n0\r\nX-Sum: 1\r\n\r\n'

        assert answer_to(org, head=CHUNKED, sent=sent) == 201


class TestTooLarge:
    @pytest.mark.parametrize("chunked", [False, True])
    def test_more_than_an_org_takes_is_refused_and_the_caller_told(
        self, org: Client, chunked: bool
    ) -> None:
        pieces = repeat(b" " * MIB, MAX_BODY // MIB + 1)

        answer = org.call("POST", "/sobjects/Account", data=pieces if chunked else b"".join(pieces))

        assert answer.status_code == 413
        assert answer.json()[0]["errorCode"] == "REQUEST_TOO_LARGE"
        assert org.get("/limits").status_code == 200

    def test_a_little_that_unpacks_to_much_is_refused(self, org: Client) -> None:
        bomb = gzip.compress(bytes(2 * MAX_BODY), compresslevel=1)
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

        answer = org.call("POST", "/sobjects/Account", data=bomb, headers=headers)

        assert len(bomb) < MIB
        assert answer.status_code == 413

    def test_no_more_is_unpacked_than_is_taken(self) -> None:
        bomb = gzip.compress(bytes(64 * MIB), compresslevel=1)
        tracemalloc.start()

        with pytest.raises(ApiError, match="too large"):
            inflate(bomb, encoding="gzip", most=MIB)

        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 * MIB


class Endless(io.RawIOBase):
    """A caller that never ends, neither a line nor a body."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1, /) -> bytes:
        assert size > 0
        self.given += size
        return b"1" * size

    def readline(self, size: int | None = -1, /) -> bytes:
        return self.read(size or -1)


class TestEndless:
    @pytest.fixture
    def given_up(self) -> list[str]:
        return []

    def test_a_body_without_end_is_given_up_and_not_kept(self, given_up: list[str]) -> None:
        body = Body(Endless(), length=10**12, give_up=lambda: given_up.append("closed"))
        tracemalloc.start()

        with pytest.raises(ApiError) as refused:
            body.read(MIB)

        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (refused.value.status, given_up) == (413, ["closed"])
        assert peak < 8 * MIB

    def test_a_line_without_end_is_not_read_to_its_end(self, given_up: list[str]) -> None:
        endless = Endless()
        body = Body(endless, length=None, give_up=lambda: given_up.append("closed"))

        with pytest.raises(ApiError) as refused:
            body.read(MIB)

        assert (refused.value.status, given_up) == (400, ["closed"])
        assert endless.given < MIB

    def test_a_caller_that_stops_sending_is_told_so(self, given_up: list[str]) -> None:
        class Silent(Endless):
            def read(self, size: int = -1, /) -> bytes:
                raise TimeoutError

        body = Body(Silent(), length=5, give_up=lambda: given_up.append("closed"))

        with pytest.raises(ApiError) as refused:
            body.read(MIB)

        assert (refused.value.status, given_up) == (408, ["closed"])


def test_many_small_chunks_are_put_together(org: Client) -> None:
    text = json.dumps({"Name": "A" * 200})

    answer = org.call(
        "POST",
        "/sobjects/Account",
        data=(letter.encode() for letter in text),
        headers={"Content-Type": "application/json"},
    )

    assert answer.status_code == 201
