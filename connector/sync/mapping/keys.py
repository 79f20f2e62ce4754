"""The name a hub record has in every other system."""

PREFIX = "l2c"
_DIGITS_MAX = 18  # what a bigint holds, whatever the digits


def hub_key(entity: str, hub_id: int) -> str:
    """Return the upsert key of a record born in the hub, such as `l2c:invoice:7`."""
    return f"{PREFIX}:{entity}:{hub_id}"


def hub_id_of(entity: str, key: str) -> int | None:
    """Return the hub's id in a key of that entity, or None when it is no such key."""
    prefix, _, number = key.rpartition(":")
    is_number = number.isascii() and number.isdigit() and len(number) <= _DIGITS_MAX
    return int(number) if is_number and prefix == f"{PREFIX}:{entity}" else None
