"""ManagedSubscribe: a subscription that the org remembers the place of (fact sheet H.4)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc

from .. import clock
from .bus import ReplayRefused, replay_bytes
from .calls import Caller, Refusal, invalid, meet_faults, topic_of
from .channels import Topic
from .generated import pubsub_pb2 as pb
from .inbox import Inbox
from .managed import RUN, ManagedSubscription
from .subscribe import Subscription

if TYPE_CHECKING:
    from ..org import Org


class ManagedStream(Subscription):
    """One ManagedSubscribe stream: it begins after the last commit, and takes commits."""

    def __init__(self, org: "Org", caller: Caller, inbox: Inbox) -> None:
        super().__init__(org, caller, inbox)
        self._managed = org.events.managed
        self._name = ""
        self._id = ""
        self._said: Any = None  # the answer to the commits since the last response

    def _accept(self, request: Any) -> None:
        commits = request.HasField("commit_replay_id_request")
        if self._topic is None or request.num_requested != 0 or not commits:
            super()._accept(request)
        if commits:
            self._commit(request.commit_replay_id_request)

    def _open(self, request: Any) -> tuple[Topic, int]:
        known = self._managed.find(request.subscription_id or request.developer_name)
        if known is None:
            wanted = request.subscription_id or request.developer_name or "(no name)"
            message = f"The managed subscription {wanted} does not exist or is not accessible."
            raise Refusal(grpc.StatusCode.NOT_FOUND, "subscription.managed.not.found", message)
        self._name, self._id = known.definition.developer_name, known.id
        _check_runs(known)
        if not self._managed.hold(self._name, self._caller):
            message = f"The managed subscription {self._name} is in use by another client."
            raise Refusal(grpc.StatusCode.ALREADY_EXISTS, "subscription.managed.in.use", message)
        return topic_of(self._org, known.definition.topic), self._place(known)

    def _check_same(self, request: Any) -> None:
        if not request.subscription_id and not request.developer_name:
            return
        known = self._managed.find(request.subscription_id or request.developer_name)
        if known is None or known.id != self._id:
            message = "The managed subscription of a stream cannot change."
            raise invalid("subscription.managed.changed", message)

    def _place(self, known: ManagedSubscription) -> int:
        """Return where to begin: after the commit, else as the subscription says."""
        preset = known.definition.default_replay
        if known.committed is not None:
            try:
                return self._bus.position(replay_bytes(known.committed))
            except ReplayRefused:
                preset = known.definition.error_recovery_replay
        return self._bus.floor() if preset == "EARLIEST" else self._bus.last()

    def _commit(self, request: Any) -> None:
        answer = pb.CommitReplayResponse(
            commit_request_id=request.commit_request_id,
            replay_id=request.replay_id,
            process_time=clock.epoch_ms(),
        )
        try:
            self._managed.commit(self._name, self._bus.position(request.replay_id))
        except ReplayRefused as error:
            answer.error.code = pb.COMMIT
            answer.error.msg = str(error)
        self._said = answer

    def _next(self, topic: Topic) -> Any | None:
        """Return the answer to commits first: one for all of them, that of the last."""
        known = self._managed.find(self._id)
        if known is None or known.definition.topic != topic.name:
            message = f"The managed subscription {self._name} was changed or removed."
            raise Refusal(grpc.StatusCode.ABORTED, "subscription.managed.changed", message)
        _check_runs(known)
        if self._said is not None:
            answer = self._response([])
            answer.commit_response.CopyFrom(self._said)
            self._said = None
            return answer
        return super()._next(topic)

    def _new_response(self, **fields: Any) -> Any:
        return pb.ManagedFetchResponse(**fields)


def _check_runs(known: ManagedSubscription) -> None:
    if known.definition.state != RUN:
        name = known.definition.developer_name
        message = f"The managed subscription {name} is stopped; set its state to RUN."
        status = grpc.StatusCode.FAILED_PRECONDITION
        raise Refusal(status, "subscription.managed.stopped", message)


def managed_subscribe(org: "Org", caller: Caller, inbox: Inbox) -> Iterator[Any]:
    """Answer a ManagedSubscribe stream."""
    meet_faults(org, caller, kinds=("http", "drop_before"))
    try:
        yield from ManagedStream(org, caller, inbox).answers()
    finally:
        org.events.managed.release(caller)
