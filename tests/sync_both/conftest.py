"""Both ways at once: a customer in hub and CRM, a person who edits there, passes of either way."""

from dataclasses import dataclass
from typing import Any

import pytest
from sync_in.conftest import CrmUser, WayIn, client, shapes, user, way_in
from sync_out.conftest import crm, mappings, world
from sync_out.world import NOW, World

from connector.sync.apply.report import ApplyReport
from connector.sync.mapping.definition import ForeignEdit, Mappings
from connector.sync.push.run import PushReport, push_until_quiet

__all__ = ["client", "crm", "mappings", "shapes", "user", "way_in", "world"]


def with_policy(
    mappings: Mappings, entity: str, *, policy: str = "repair", field: str | None = None
) -> Mappings:
    """Return the mappings with one entity watched, and a policy for it or for one field of it."""

    def changed(mapping: Any) -> Any:
        if mapping.entity != entity:
            return mapping
        push: dict[str, object] = {"watch": True}
        if not field:
            push["on_foreign_edit"] = ForeignEdit(policy)
        fields = dict(mapping.fields)
        if field:
            fields[field] = fields[field].model_copy(
                update={"on_foreign_edit": ForeignEdit(policy)}
            )
        return mapping.model_copy(
            update={"push": mapping.push.model_copy(update=push), "fields": fields}
        )

    return Mappings(tuple(changed(mapping) for mapping in mappings))


@dataclass
class BothWays:
    """The hub, the CRM, a person in it, and what runs between them."""

    way_in: WayIn
    user: CrmUser
    world: World

    @property
    def mappings(self) -> Mappings:
        return self.way_in.mappings

    def set_policy(self, entity: str, policy: str, *, field: str | None = None) -> None:
        self.way_in.mappings = with_policy(self.mappings, entity, policy=policy, field=field)

    def pull(self) -> ApplyReport:
        self.way_in.sweep()
        return self.way_in.apply()

    def push(self) -> PushReport:
        return push_until_quiet(
            store=self.way_in.store, org=self.way_in.org, mappings=self.mappings, now=NOW
        )

    def sync(self) -> tuple[ApplyReport, PushReport]:
        return self.pull(), self.push()

    def hub(self, statement: str) -> None:
        self.way_in.run_sql(statement)

    def sfid_of(self, entity: str, hub_id: int) -> str:
        (row,) = self.way_in.rows(
            "SELECT sfid FROM crm_record WHERE entity = :entity AND hub_id = :hub_id",
            entity=entity,
            hub_id=hub_id,
        )
        return str(row["sfid"])

    def conflicts(self) -> list[dict[str, object]]:
        return self.way_in.rows("SELECT * FROM conflict WHERE decided_at IS NULL ORDER BY id")


@pytest.fixture
def both(way_in, user, world) -> BothWays:
    """Both sides in step: everything of the hub is in the CRM."""
    ways = BothWays(way_in, user, world)
    ways.sync()
    return ways


@pytest.fixture
def service(both) -> str:
    """Return the Salesforce id of the customer's service."""
    return both.sfid_of("service", both.world.service)
