"""Turns change events into hints and keeps them together with their place (fact sheet H.3, D4).

One answer of the stream is one transaction: its hints as one row of the inbox, the sweeps its gaps
ask for, and the topic's replay id. So a crash repeats an answer or has it behind it. Transactions
of the org need not be put together again: a hint makes apply read the record as it is now.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from connector.adapters.salesforce.change_events import ChangeEvent
from connector.adapters.salesforce.pubsub import FetchAnswer
from connector.adapters.salesforce.session import CLIENT_NAME
from connector.errors import TransientFailure
from connector.store.engine import Store
from connector.sync.capture.event_topics import Place, advance, objects_of, start_over
from connector.sync.capture.owed_sweeps import LONG_TRANSACTION, owe_sweep
from connector.sync.inbox.arrivals import objects_to_watch
from connector.sync.inbox.hints import Hint, store_hints
from connector.sync.mapping.definition import Mappings

log = structlog.get_logger(__name__)

_OVERFLOW = "GAP_OVERFLOW"
_RECORD_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_NO_RECORD = "000000000000000"  # stands for every record of the object
_CLIENT = re.compile(r";client=([^;]*)")
# Changed by every save, so they say nothing about who changed what.
_ALWAYS_CHANGED = frozenset({"LastModifiedDate", "LastModifiedById"})


class TopicTakenOver(TransientFailure):
    """Another process follows the topic, too, and was quicker."""

    code = "sync.topic_taken_over"
    remedy = "Nothing: the stream goes on from where the other one stands."


@dataclass(slots=True)
class Heard:
    """What one answer came to.

    Attributes:
        place: Where the topic stands once this is stored.
        echoes: Events of what the connector itself wrote.
        unmapped: Events of objects that do not come in.
        sweeps: Why objects have to be read again from an instant on.
    """

    place: Place
    hints: list[Hint] = field(default_factory=list)
    echoes: int = 0
    unmapped: int = 0
    repeated: int = 0
    sweeps: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    commit_at: datetime | None = None

    def owe(self, objects: Iterable[str], since: datetime, reason: str) -> None:
        """Note that objects have to be swept; the earliest instant counts."""
        for name in objects:
            known = self.sweeps.get(name)
            if known is None or since < known[0]:
                self.sweeps[name] = (since, reason)


@dataclass(frozen=True, slots=True)
class Listening:
    """What it takes to understand the events of a topic and to keep them."""

    store: Store
    mappings: Mappings
    topic: str
    organization_id: str
    overlap: timedelta

    @property
    def look_back(self) -> timedelta:
        """Return how much earlier than the last known commit a bounded sweep begins."""
        return max(self.overlap, LONG_TRANSACTION)

    def keep(self, answer: FetchAnswer, place: Place, *, known: Iterable[bytes] = ()) -> Heard:
        """Store an answer and move the topic's place on, both or neither.

        `known` are replay ids of events stored before, which may come twice.

        Raises:
            TopicTakenOver: The topic no longer stands at `place`; nothing is stored.
        """
        heard = self.understand(answer, place, known=known)
        with self.store.transaction() as tx:
            has_moved = advance(
                tx,
                self.topic,
                before=place.replay_id,
                after=heard.place.replay_id,
                commit_at=heard.commit_at,
            )
            if not has_moved:
                raise TopicTakenOver(f"{self.topic} is followed by another process, too.")
            if heard.hints:
                store_hints(
                    tx,
                    topic=self.topic,
                    organization_id=self.organization_id,
                    hints=heard.hints,
                )
            for name, (since, reason) in heard.sweeps.items():
                owe_sweep(tx, (name,), since=since, reason=reason)
        return heard

    def start_over(self, place: Place) -> bool:
        """Begin with the oldest event, and owe a sweep of what is older than that.

        Returns whether it was still at this place. The oldest event, not the next one: whatever is
        committed while the sweep is under way is then told by an event.
        """
        with self.store.transaction() as tx:
            if not start_over(tx, self.topic, before=place.replay_id):
                return False
            owe_sweep(
                tx,
                objects_of(self.topic, self.mappings),
                since=place.known_until - self.look_back,
                reason="the replay id is invalid or has expired",
            )
        return True

    def understand(
        self, answer: FetchAnswer, place: Place, *, known: Iterable[bytes] = ()
    ) -> Heard:
        """Return what an answer comes to, without storing anything."""
        heard = Heard(place)
        stored = set(known)
        watched = set(objects_to_watch(self.mappings))
        for event in answer.events:
            if event.replay_id in stored:
                heard.repeated += 1
                continue
            stored.add(event.replay_id)
            if event.change is None:
                since = (heard.commit_at or place.known_until) - self.look_back
                log.warning("events.unreadable", topic=self.topic)
                heard.owe(objects_of(self.topic, self.mappings), since, "an event is unreadable")
                continue
            heard.commit_at = max(heard.commit_at or event.change.commit_at, event.change.commit_at)
            if event.change.object_name not in watched:
                heard.unmapped += 1
            elif _is_echo(event.change, self.mappings):
                heard.echoes += 1
            else:
                self._hear(event.change, heard)
        reached = answer.place or place.replay_id
        heard.place = Place(
            replay_id=reached,
            from_earliest=place.from_earliest and reached is None,
            known_until=max(place.known_until, heard.commit_at or place.known_until),
        )
        return heard

    def _hear(self, change: ChangeEvent, heard: Heard) -> None:
        if change.change_type == _OVERFLOW or not all(map(_is_record, change.record_ids)):
            since = change.commit_at - self.look_back
            heard.owe((change.object_name,), since, f"the org reported {change.change_type}")
            return
        heard.hints += [
            Hint(
                object_name=change.object_name,
                sfid=sfid,
                change_type=change.change_type,
                commit_at=change.commit_at,
                change_origin=change.change_origin,
            )
            for sfid in change.record_ids
        ]


def is_own(change: ChangeEvent) -> bool:
    """Return whether the connector itself made the change, by the client it names on each call."""
    found = _CLIENT.search(change.change_origin)
    return found is not None and found[1] == CLIENT_NAME


def _is_echo(change: ChangeEvent, mappings: Mappings) -> bool:
    """Return whether the event repeats what the connector wrote, and nothing else.

    An optimisation: apply would find nothing new in it. Automation of the org may have changed more
    within the transaction: an attribute that comes in makes it a hint like any other.
    """
    if not is_own(change) or change.change_type not in ("CREATE", "UPDATE"):
        return False
    attributes = {
        name
        for mapping in mappings.of_object(change.object_name)
        if mapping.pull is not None
        for name in mapping.pull.fields
    }
    return not any(
        _concerns(changed, attributes)
        for changed in change.changed_fields
        if changed not in _ALWAYS_CHANGED
    )


def _concerns(changed: str, attributes: set[str]) -> bool:
    """Return whether a changed field is one of the attributes, or may be a part of one.

    Records call the part `Street` of `BillingAddress` `BillingStreet`, that of `Name` by itself.
    """
    compound, separator, part = changed.partition(".")
    if not separator:
        return changed in attributes
    return not attributes.isdisjoint({compound, part, compound.removesuffix("Address") + part})


def _is_record(sfid: str) -> bool:
    return _RECORD_ID.fullmatch(sfid) is not None and not sfid.startswith(_NO_RECORD)
