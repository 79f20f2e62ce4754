"""Topics: what can be subscribed to, and whose changes are recorded (fact sheet H.4, K.5)."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import SetupError
from ..schema.left_out import leave_out
from ..schema.model import ObjectType, Schema
from ..schema.xml import SUFFIX, metadata_files, read_xml
from .avro import EventSchema, change_event_name, change_shape, channel_schema, platform_schema

STANDARD_CHANNEL = "ChangeEvents"
DATA = "/data/"
EVENT = "/event/"
CHANNEL_SUFFIX = "__chn"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic: the stored topics it hands out, and what is published to it."""

    name: str
    members: tuple[str, ...]
    schema: EventSchema
    event: ObjectType | None = None  # a platform event, which clients may publish


class Channels:
    """The topics of one org; the standard channel's selection can be changed while it runs."""

    def __init__(self, schema: Schema, members: Iterable[tuple[str, str]] = ()) -> None:
        self._entities = {
            change_event_name(item.name): item
            for item in schema
            if item.createable and item.updateable and not item.event
        }
        self._events = {item.name: item for item in schema if item.event}
        self._custom: dict[str, list[str]] = {}
        self.of_metadata: tuple[str, ...] = ()
        for channel, name in members:
            if channel == STANDARD_CHANNEL and name in self._entities:
                self.of_metadata += (self._entities[name].name,)
                continue
            topic = self._stored_topic(name)
            if channel.endswith(CHANNEL_SUFFIX) and topic is not None:
                self._custom.setdefault(channel, []).append(topic)
            else:
                leave_out(f"{name} of the channel {channel}", "the local org has no such event")
        self.selected: tuple[str, ...] = self.of_metadata

    def _stored_topic(self, name: str) -> str | None:
        if name in self._entities:
            return DATA + name
        if name in self._events:
            return EVENT + name
        return None

    def entity(self, name: str) -> ObjectType | None:
        """Return an object whose changes can be recorded, by its name in any casing."""
        wanted = name.lower()
        return next((o for o in self._entities.values() if o.name.lower() == wanted), None)

    def recorded(self) -> list[ObjectType]:
        """Return the objects whose changes become events: those of all channels."""
        topics = {DATA + change_event_name(name) for name in self.selected}
        topics.update(topic for topics in self._custom.values() for topic in topics)
        return [item for name, item in self._entities.items() if DATA + name in topics]

    def named(self, topic: str) -> str | None:
        """Return the topic of one event or change event by its name in any casing."""
        known = [DATA + name for name in self._entities] + [EVENT + name for name in self._events]
        return next((name for name in known if name.lower() == topic.lower()), None)

    def find(self, name: str) -> Topic | None:
        """Return a topic by its name, as clients write it."""
        short = name.removeprefix(DATA)
        if name.startswith(DATA) and short == STANDARD_CHANNEL:
            members = tuple(DATA + change_event_name(entity) for entity in self.selected)
            return Topic(name=name, members=members, schema=channel_schema())
        if name.startswith(DATA) and short in self._entities:
            shape = change_shape(self._entities[short])
            return Topic(name=name, members=(name,), schema=shape.schema)
        event = self._events.get(name.removeprefix(EVENT)) if name.startswith(EVENT) else None
        if event is not None:
            return Topic(name=name, members=(name,), schema=platform_schema(event), event=event)
        return self._custom_channel(name)

    def objects(self, name: str) -> frozenset[str]:
        """Return the lower-case names of the objects and events a topic tells of."""
        topic = self.find(name)
        shorts = [member.split("/")[2] for member in topic.members] if topic is not None else []
        known = self._entities | self._events
        return frozenset(known[short].name.lower() for short in shorts if short in known)

    def _custom_channel(self, name: str) -> Topic | None:
        for prefix in (DATA, EVENT):
            members = self._custom.get(name.removeprefix(prefix)) if name.startswith(prefix) else ()
            if members and all(member.startswith(prefix) for member in members):
                return Topic(name=name, members=tuple(members), schema=channel_schema())
        return None


def read_members(folder: Path | None) -> list[tuple[str, str]]:
    """Return (channel, event) of the channel members of an SFDX source folder.

    Raises:
        SetupError: A member names no channel or no event.
    """
    found = []
    for path in metadata_files(folder, f"*.platformEventChannelMember{SUFFIX}"):
        root = read_xml(path)
        channel, name = root.text("eventChannel"), root.text("selectedEntity")
        if channel is None or name is None:
            raise SetupError(f"{path}: eventChannel or selectedEntity is missing")
        found.append((channel, name))
    return found
