"""YAML from a person is read exactly; YAML from an attacker is refused before it costs anything."""

import contextlib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.yaml_file import SIZE_BYTES_MAX, UnreadableFile, read_yaml


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


def test_numbers_with_a_point_keep_their_digits(file: Path) -> None:
    file.write_text("price: 0.10\nbig: 1234567890123456.789\ncount: 3\nodd: .nan\n")

    data = read_yaml(file).data

    assert data == {
        "price": Decimal("0.10"),
        "big": Decimal("1234567890123456.789"),
        "count": 3,
        "odd": ".nan",
    }
    assert str(data["price"]) == "0.10"


def test_knows_the_line_of_every_value(file: Path) -> None:
    file.write_text("a:\n  - b: 1\n  - b: 2\n    c:\n      d: 3\n")

    read = read_yaml(file)

    assert read.line_of(("a", 1, "b")) == 3
    assert read.line_of(("a", 1, "c", "d")) == 5
    assert read.line_of(("a", 1, "missing")) == 3
    assert read.has(("a", 0))
    assert not read.has(("a", 2))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: &x [1]\nb: *x\n", 1, "anchors and aliases"),
        ("ok: 1\nb: *x\n", 2, "anchors and aliases"),
        ("a: 1\nb: !!python/object/apply:os.system [id]\n", 2, "tag"),
        ("a: 1\na: 2\n", 2, "a second time"),
        ("a: {b: 1, b: 2}\n", 1, "a second time"),
        ("a: 1\n<<: {b: 2}\n", 2, "plain word"),
        ("? [a]\n: 1\n", 1, "plain word"),
        ("a: 1\n---\nb: 2\n", 2, "single document|document"),
        ("a: [1\n", 2, "expected"),
        ("a: 2026-02-30\n", 1, "day"),
        ("a: 'x\x00y'\n", 1, "control characters"),
        ("[" * 5000, 1, "levels of nesting"),
        ("- " * 5000, 1, "levels of nesting"),
    ],
)
def test_refuses_what_no_person_writes(file: Path, text: str, line: int, words: str) -> None:
    file.write_text(text)

    with pytest.raises(UnreadableFile, match=words) as refused:
        read_yaml(file)

    assert f"line {line}:" in refused.value.message


def test_refuses_a_file_that_is_too_large_without_reading_it(file: Path) -> None:
    with file.open("wb") as hole:
        hole.truncate(SIZE_BYTES_MAX * 1000)

    with pytest.raises(UnreadableFile, match="larger"):
        read_yaml(file)


def test_refuses_a_byte_that_is_not_utf_8_with_its_line(file: Path) -> None:
    file.write_bytes(b"a: 1\nname: M\xfcller\n")

    with pytest.raises(UnreadableFile, match=r"line 2: .*UTF-8"):
        read_yaml(file)


@given(junk=st.text(max_size=200))
def test_junk_is_read_or_refused_but_never_breaks(
    tmp_path_factory: pytest.TempPathFactory, junk: str
) -> None:
    file = tmp_path_factory.mktemp("junk") / "file.yaml"
    file.write_bytes(junk.encode("utf-8", "surrogatepass"))

    with contextlib.suppress(UnreadableFile):  # anything else is a bug
        read_yaml(file)
