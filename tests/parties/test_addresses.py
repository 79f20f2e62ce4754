"""Addresses in words are taken apart, and the same place has one key."""

import pytest

from connector.parties.addresses import Address, EmptyAddress, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Practice Mainz, Rheinallee 12, 55116 Mainz, DE",
            Address("Practice Mainz", "Rheinallee 12", "55116", "Mainz", "DE"),
        ),
        (
            "Rheinallee 12, 55116 Mainz",
            Address("Rheinallee 12, Mainz", "Rheinallee 12", "55116", "Mainz", ""),
        ),
        (
            "Head office, Floor 3, Rheinallee 12\nD-55116 Mainz\nGermany",
            Address("Head office, Floor 3", "Rheinallee 12", "55116", "Mainz", "Germany"),
        ),
        (
            "Harbor, 4 Quay Road, Bristol BS1 4RW, GB",
            Address("Harbor", "4 Quay Road", "BS1 4RW", "Bristol", "GB"),
        ),
        ("Depot, Kai 4, Mainz, DE", Address("Depot", "Kai 4", "", "Mainz", "DE")),
        ("Depot", Address("Depot", "Depot", "", "", "")),
    ],
)
def test_takes_an_address_apart(text: str, expected: Address) -> None:
    found = parse_address(text)

    assert (found.street, found.postal_code, found.city, found.country) == (
        expected.street,
        expected.postal_code,
        expected.city,
        expected.country,
    )
    assert found.name == expected.name


@pytest.mark.parametrize(
    "spelling",
    [
        "Elsewhere, LÖHRSTRASSE 40, 56068 Koblenz, de",
        "Löhrstr. 40, 56068  Koblenz, DE",
        "Löhrstraße 40; 56068 Koblenz; DE",
    ],
)
def test_knows_the_same_place_in_another_spelling(spelling: str) -> None:
    assert parse_address(spelling).key == parse_address("Löhrstraße 40, 56068 Koblenz, DE").key


@pytest.mark.parametrize(
    "other", ["Löhrstraße 41, 56068 Koblenz, DE", "Löhrstraße 40, 56070 Koblenz, DE"]
)
def test_keeps_different_places_apart(other: str) -> None:
    assert parse_address(other).key != parse_address("Löhrstraße 40, 56068 Koblenz, DE").key


@pytest.mark.parametrize("text", ["", "  ", ", ;", "---"])
def test_refuses_what_says_nothing(text: str) -> None:
    with pytest.raises(EmptyAddress):
        parse_address(text)
