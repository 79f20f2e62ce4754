"""`l2c price`: price calculations from standard input, one JSON object a line."""

import sys
from collections.abc import Iterator
from typing import BinaryIO, Protocol, cast

import click
import orjson

from connector.catalog.pricing.reading import read_calculation
from connector.catalog.pricing.refusals import UnusablePrice
from connector.catalog.pricing.writing import as_json as written
from connector.errors import InvalidInput

LINE_BYTES_MAX = 1_048_576
CHUNK_BYTES = 65_536


class Arriving(Protocol):
    """A stream that gives what has arrived, as buffered readers do."""

    def read1(self, size: int, /) -> bytes:
        """Return what has arrived, at most so many bytes; nothing at the end."""


class LineTooLong(InvalidInput):
    """A line of the input is longer than a calculation can be."""

    code = "price.line_too_long"
    remedy = "Ask for fewer transactions at a time."


class NotJson(InvalidInput):
    """A line of the input is not JSON."""

    code = "price.not_json"
    remedy = "Write one JSON object a line, in UTF-8."


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
def price(*, as_json: bool) -> int:
    """Price calculations that come in as JSON objects, one a line.

    What is refused gets a line as well, with the reason, and stops nothing; the exit code is 1
    if anything was refused.
    """
    refused = answer_all(cast(Arriving, sys.stdin.buffer), sys.stdout.buffer, as_json=as_json)
    return 1 if refused else 0


def answer_all(arriving: Arriving, out: BinaryIO, *, as_json: bool) -> int:
    """Answer every line as it arrives; return how many were refused."""
    refused = 0
    for batch in batches(arriving):
        answers = []
        for number, line in batch:
            answer = answer_to(line, number)
            refused += "error" in answer
            answers.append(orjson.dumps(answer) if as_json else told(answer).encode())
        answers.append(b"")
        out.write(b"\n".join(answers))
        out.flush()
    return refused


def answer_to(line: bytes | None, number: int) -> dict[str, object]:
    """Return the price that a line asks for, or why there is none. None is a line too long."""
    try:
        return written(read_calculation(_decoded(line)).result())
    except InvalidInput as error:
        answer: dict[str, object] = {"error": str(error), "code": error.code, "line": number}
        if isinstance(error, UnusablePrice):
            answer["field"] = error.field
        return answer


def told(answer: dict[str, object]) -> str:
    """Write an answer for people: the amount, then the steps that make it."""
    if "error" in answer:
        return f"line {answer['line']}: {answer['error']}"
    rows = [f"{answer['amount']}  (exactly {answer['unrounded']})"]
    for name in ("explanation", "parts"):
        entries = answer.get(name, [])
        assert isinstance(entries, list)
        for entry in entries:
            facts = [
                f"{fact.replace('_', ' ')} {value}"
                for fact, value in entry.items()
                if fact not in {"step", "name", "amount"}
            ]
            kind = entry.get("step", entry.get("name", "")).replace("_", " ")
            rows.append(f"  {entry['amount']:>12}  {kind}  {', '.join(facts)}".rstrip())
    return "\n".join(rows)


def batches(stream: Arriving) -> Iterator[list[tuple[int, bytes | None]]]:
    """Yield the numbered lines that have arrived, without waiting for more than one of them.

    Blank lines are left out. Of a line that is too long nothing is kept: it is None.
    """
    number, rest, is_too_long = 0, b"", False
    while chunk := stream.read1(CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        batch: list[tuple[int, bytes | None]] = []
        for line in lines:
            number += 1
            if is_too_long or len(line) > LINE_BYTES_MAX:
                batch.append((number, None))
            elif line.strip():
                batch.append((number, line))
            is_too_long = False
        if len(rest) > LINE_BYTES_MAX:
            rest, is_too_long = b"", True
        if batch:
            yield batch
    if is_too_long or rest.strip():
        yield [(number + 1, None if is_too_long else rest)]


def _decoded(line: bytes | None) -> object:
    if line is None:
        raise LineTooLong(f"The line has more than {LINE_BYTES_MAX} bytes.")
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"The line is not JSON: {error}.") from None
