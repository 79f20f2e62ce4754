"""The three moments at which a standard object may act."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...schema.model import ObjectType
from ..draft import Draft
from ..transaction import Row

if TYPE_CHECKING:
    from ..save import Writer


class Behaviour:
    """Does nothing at any moment; objects override what they need."""

    def before(
        self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft], system: bool
    ) -> None:
        """Derive or refuse values before they are stored."""

    def after(self, writer: "Writer", item: ObjectType, drafts: Sequence[Draft]) -> None:
        """Carry stored values on to other records."""

    def why_kept(self, row: Row) -> str | None:
        """Return why a record cannot be deleted; None where it can."""
        return None

    def deleted(self, writer: "Writer", item: ObjectType, rows: Sequence[Row]) -> None:
        """React to records that have just been deleted."""

    def restored(self, writer: "Writer", item: ObjectType, rows: Sequence[Row]) -> None:
        """React to records that have just come back from the recycle bin."""
