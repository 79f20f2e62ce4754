"""The name a hub record has in every other system."""

PREFIX = "l2c"


def hub_key(entity: str, hub_id: int) -> str:
    """Return the upsert key of a record born in the hub, such as `l2c:invoice:7`."""
    return f"{PREFIX}:{entity}:{hub_id}"


def hub_id_of(entity: str, key: str) -> int | None:
    """Return the hub's id in a key of that entity, or None when it is no such key."""
    prefix, _, number = key.rpartition(":")
    if prefix != f"{PREFIX}:{entity}" or not number.isascii() or not number.isdigit():
        return None
    return int(number)
