"""Topics of change events, and where each of them stands (fact sheet H.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from connector.sync.inbox.arrivals import objects_to_watch
from connector.sync.mapping.definition import Mappings

_CUSTOM = "__c"
# Only one process follows the topics; who holds this lock is it.
FOLLOWER_LOCK = "sync.events"

_FOLLOW = text(
    """
    INSERT INTO event_topic (topic, followed_since) VALUES (:topic, now())
        ON CONFLICT (topic) DO NOTHING
    """
)
_PLACE = text(
    "SELECT replay_id, from_earliest, coalesce(commit_at, followed_since) AS known_until"
    "  FROM event_topic WHERE topic = :topic"
)
# Another process that follows the topic, too, has moved the place: then nothing is stored here.
_ADVANCE = text(
    """
    UPDATE event_topic
       SET replay_id = CAST(:after AS bytea), heard_at = now(), problem = NULL,
           from_earliest = from_earliest AND CAST(:after AS bytea) IS NULL,
           commit_at = greatest(commit_at, :commit_at),
           received_at = CASE WHEN CAST(:commit_at AS timestamptz) IS NULL THEN received_at
                              ELSE now() END
     WHERE topic = :topic AND replay_id IS NOT DISTINCT FROM :before
    """
)
_START_OVER = text(
    """
    UPDATE event_topic SET replay_id = NULL, from_earliest = true
     WHERE topic = :topic AND replay_id IS NOT DISTINCT FROM :before
    """
)
_TELL = text(
    "UPDATE event_topic SET is_connected = :is_connected, problem = :problem WHERE topic = :topic"
)
_STANDING = text(
    """
    SELECT topic, replay_id, commit_at, received_at, heard_at, problem, is_connected AND EXISTS (
               SELECT FROM pg_locks
                WHERE locktype = 'advisory' AND granted AND objsubid = 1
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND (CAST(classid AS bigint) << 32 | CAST(objid AS bigint))
                      = hashtextextended(:lock, 0)) AS is_connected
      FROM event_topic ORDER BY topic
    """
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a topic stands.

    Attributes:
        known_until: Commit time of the last event, by the org's clock; without any event, when the
            topic was first followed.
    """

    replay_id: bytes | None
    from_earliest: bool
    known_until: datetime


@dataclass(frozen=True, slots=True)
class TopicStanding:
    """How a topic stands, for people.

    Attributes:
        replay_id: As hexadecimal digits.
        delay_s: Whole seconds from the commit of the last event to its arrival here.
    """

    topic: str
    is_connected: bool
    last_event_at: datetime | None
    replay_id: str | None
    delay_s: int | None
    heard_at: datetime | None
    problem: str | None


def change_topic(object_name: str) -> str:
    """Return the topic that tells of the changes of an object."""
    if object_name.endswith(_CUSTOM):
        return f"/data/{object_name.removesuffix(_CUSTOM)}__ChangeEvent"
    return f"/data/{object_name}ChangeEvent"


def topics_to_follow(mappings: Mappings, chosen: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the chosen topics, or without a choice one per object that comes in."""
    return tuple(chosen) or tuple(change_topic(name) for name in objects_to_watch(mappings))


def objects_of(topic: str, mappings: Mappings) -> tuple[str, ...]:
    """Return the objects that come in by a topic; a channel may tell of all of them."""
    watched = objects_to_watch(mappings)
    alone = tuple(name for name in watched if change_topic(name) == topic)
    return alone or watched


def place_of(tx: Connection, topic: str) -> Place:
    """Return where a topic stands, as one that is followed from now on."""
    tx.execute(_FOLLOW, {"topic": topic})
    return Place(*tx.execute(_PLACE, {"topic": topic}).one())


def advance(
    tx: Connection,
    topic: str,
    *,
    before: bytes | None,
    after: bytes | None,
    commit_at: datetime | None,
) -> bool:
    """Move the place on; return False, moving nothing, when it is no longer `before`."""
    values = {"topic": topic, "before": before, "after": after, "commit_at": commit_at}
    return bool(tx.execute(_ADVANCE, values).rowcount)


def start_over(tx: Connection, topic: str, *, before: bytes | None) -> bool:
    """Forget the place, so that the topic begins with its oldest event; return False as above."""
    return bool(tx.execute(_START_OVER, {"topic": topic, "before": before}).rowcount)


def tell(tx: Connection, topic: str, *, is_connected: bool, problem: str | None = None) -> None:
    """Keep for people whether the topic is being heard, and if not, why."""
    tx.execute(_TELL, {"topic": topic, "is_connected": is_connected, "problem": problem})


def topic_standings(tx: Connection) -> tuple[TopicStanding, ...]:
    """Return how each topic stands that was ever followed."""
    return tuple(
        TopicStanding(
            topic=row.topic,
            is_connected=row.is_connected,
            last_event_at=row.commit_at,
            replay_id=bytes(row.replay_id).hex() if row.replay_id is not None else None,
            delay_s=max(0, int((row.received_at - row.commit_at).total_seconds()))
            if row.received_at is not None and row.commit_at is not None
            else None,
            heard_at=row.heard_at,
            problem=row.problem,
        )
        for row in tx.execute(_STANDING, {"lock": FOLLOWER_LOCK})
    )
