"""The states of a task and the legal moves between them."""

from enum import StrEnum

from connector.errors import StateConflict


class TaskState(StrEnum):
    """Where a task stands."""

    PENDING = "Pending"
    READY = "Ready"
    IN_PROGRESS = "In Progress"
    WAITING = "Waiting"
    COMPLETED = "Completed"
    CANCELED = "Canceled"
    SKIPPED = "Skipped"
    ERROR = "Error"


FINAL = frozenset({TaskState.COMPLETED, TaskState.CANCELED, TaskState.SKIPPED})
_WORKED_ON = frozenset({TaskState.READY, TaskState.IN_PROGRESS, TaskState.WAITING})


class TaskAction(StrEnum):
    """What a person may ask of a task."""

    START = "Start"
    COMPLETE = "Complete"
    RESTART = "Restart"
    DISMISS = "Dismiss"


_FROM: dict[TaskAction, frozenset[TaskState]] = {
    TaskAction.START: frozenset({TaskState.READY, TaskState.WAITING}),
    TaskAction.COMPLETE: _WORKED_ON,
    TaskAction.RESTART: frozenset({TaskState.IN_PROGRESS, TaskState.WAITING, TaskState.ERROR}),
    TaskAction.DISMISS: _WORKED_ON | {TaskState.ERROR, TaskState.PENDING},
}
RESULT: dict[TaskAction, TaskState] = {
    TaskAction.START: TaskState.IN_PROGRESS,
    TaskAction.COMPLETE: TaskState.COMPLETED,
    TaskAction.RESTART: TaskState.READY,
    TaskAction.DISMISS: TaskState.SKIPPED,
}


class TaskStateConflict(StateConflict):
    """The task cannot do this from the state it is in."""

    code = "ordering.task_state"

    def __init__(self, *, number: str, name: str, present: TaskState, action: TaskAction) -> None:
        possible = [one for one in TaskAction if present in _FROM[one]]
        super().__init__(
            f"{action} is not possible: task {number} '{name}' is {present}.",
            remedy=f"Possible now: {', '.join(possible) if possible else 'nothing, it is final'}."
            if present is not TaskState.PENDING
            else "It becomes Ready once the tasks before it are done.",
        )


def moves(*, number: str, name: str, present: TaskState, action: TaskAction) -> bool:
    """Tell whether the action changes the task; False when it has had its effect already.

    Raises:
        TaskStateConflict: The task cannot do this from the state it is in.
    """
    if present is RESULT[action]:
        return False
    if present not in _FROM[action]:
        raise TaskStateConflict(number=number, name=name, present=present, action=action)
    return True
