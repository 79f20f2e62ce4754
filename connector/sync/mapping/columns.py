"""Which columns of the hub sync may fill with what a person typed into a field of the hub."""

from connector.store.tables import metadata
from connector.store.tables.base import may_come_from_crm


def columns_from_crm(table: str) -> frozenset[str]:
    """Return the columns of a table no rule hangs on; none of a table that is not the hub's."""
    if table not in metadata.tables:
        return frozenset()
    return frozenset(
        column.name for column in metadata.tables[table].columns if may_come_from_crm(column)
    )
