"""Salesforce record ids: 15 characters, or 18 with a checksum."""

_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def to_18(sfid: str) -> str:
    """Return the 18-character form of an id (fact sheet B.8); other text comes back unchanged."""
    if len(sfid) != 15:
        return sfid
    return sfid + "".join(
        _CHECK[sum(1 << i for i, letter in enumerate(sfid[start : start + 5]) if letter.isupper())]
        for start in (0, 5, 10)
    )
