"""How a command names what it is about: an entity of the mapping files, a number of the store."""

import click

from connector.errors import InvalidInput
from connector.sync.mapping.definition import Mappings

# What the store can number at all: a larger one is told as such, instead of reaching the database.
STORE_ID = click.IntRange(1, 2**63 - 1)


class EntityUnknown(InvalidInput):
    """No mapping file describes an entity of that name."""

    code = "mapping.unknown_entity"
    remedy = "The mapping files name the entities."


def refuse_unknown(mappings: Mappings, entity: str | None) -> None:
    """Refuse a name that nothing was found by because no mapping has it.

    Raises:
        EntityUnknown: It names those that there are.
    """
    if entity is not None and entity not in mappings.by_entity:
        names = ", ".join(sorted(mappings.by_entity))
        raise EntityUnknown(
            f"No mapping describes an entity {entity!r}.", remedy=f"There are: {names}."
        )
