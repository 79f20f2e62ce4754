"""Work-order templates: what has to be done, by whom, after what. One YAML file each."""

from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from connector.errors import Misconfigured, StateConflict
from connector.inventory.operator_file import read_operator_file


class BadTemplate(Misconfigured):
    """A work-order template cannot be used."""

    code = "ordering.bad_template"
    remedy = "Correct the file; the README of connector/ordering describes the form."


class NoTemplate(StateConflict):
    """A line cannot be delivered because no template says how (domain 3.1, C23)."""

    code = "ordering.no_template"
    remedy = "Name a work-order template on the price entry in the catalogue and load it."


class TaskKind(StrEnum):
    """Who does a task. Code, Milestone and Notify tasks run by themselves."""

    MANUAL = "Manual"
    CODE = "Code"
    WAIT = "Wait"
    MILESTONE = "Milestone"
    NOTIFY = "Notify"


class Milestone(StrEnum):
    """What the completion of a task means beyond its work order."""

    BILLING_START = "Billing start"
    PONR = "PONR"
    SERVICE_START = "Service start"
    SERVICE_END = "Service end"


class Role(StrEnum):
    """What a work order does for its line."""

    DELIVER = "Deliver"
    TURN_UP = "Turn-up"
    CHANGE = "Change"
    DISCONNECT = "Disconnect"
    SERVICE_REQUEST = "Service request"
    SHIP = "Ship"


# The task whose completion moves money: one in each work order, never none, never two.
BILLING_MILESTONE: dict[Role, Milestone] = {
    Role.DELIVER: Milestone.BILLING_START,
    Role.TURN_UP: Milestone.BILLING_START,
    Role.CHANGE: Milestone.BILLING_START,
    Role.DISCONNECT: Milestone.SERVICE_END,
    Role.SERVICE_REQUEST: Milestone.BILLING_START,
    Role.SHIP: Milestone.BILLING_START,
}


@dataclass(frozen=True, slots=True)
class TaskTemplate:
    """One step of a template; durations in working days."""

    name: str
    kind: TaskKind
    code: str | None
    queue: str | None
    phase: str
    duration_days: int
    milestone_of: Milestone | None
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkOrderTemplate:
    """The steps of one kind of work order, predecessors first.

    A turn-up is `followed_by` the template that takes down what it comes in place of.
    """

    key: str
    role: Role
    tasks: tuple[TaskTemplate, ...]
    followed_by: str | None = None

    @property
    def milestone(self) -> str:
        """The name of the step whose completion moves money."""
        wanted = BILLING_MILESTONE[self.role]
        return next(task.name for task in self.tasks if task.milestone_of is wanted)


@dataclass(frozen=True, slots=True)
class Templates:
    """All templates of an operator, by key."""

    by_key: dict[str, WorkOrderTemplate]

    def get(self, key: str) -> WorkOrderTemplate:
        """Return a template.

        Raises:
            NoTemplate: No file defines it.
        """
        found = self.by_key.get(key)
        if found is None:
            raise NoTemplate(
                f"There is no work-order template '{key}'.",
                remedy=f"Add mappings/work_orders/{key}.yaml, or correct the price entry.",
            )
        return found

    def codes(self) -> frozenset[str]:
        """Return the names of the code that any template runs."""
        return frozenset(
            task.code for one in self.by_key.values() for task in one.tasks if task.code
        )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Task(_Strict):
    name: Annotated[str, Field(min_length=1, max_length=80)]
    kind: TaskKind
    code: str | None = None
    queue: Annotated[str, Field(max_length=80)] | None = None
    phase: Annotated[str, Field(max_length=40)] = ""
    duration_days: Annotated[int, Field(ge=0, le=365)] | None = None
    milestone_of: Milestone | None = None
    after: tuple[str, ...] = ()


class _File(_Strict):
    key: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,79}$")]
    role: Role
    followed_by: str | None = None
    tasks: Annotated[tuple[_Task, ...], Field(min_length=1, max_length=200)]


def load_templates(folder: Path) -> Templates:
    """Read every template of a folder.

    Raises:
        BadTemplate: A file has a wrong or unknown key, two steps of one name, a step after an
            unknown one, a circle, or not exactly one billing milestone; a turn-up is followed by
            no disconnect, or something else is followed.
        UnreadableFile: A file is not plain YAML.
    """
    found: dict[str, WorkOrderTemplate] = {}
    for path in sorted(folder.glob("*.yaml")):
        template = _read(path)
        if template.key in found:
            raise BadTemplate(f"{path}: a template '{template.key}' exists already.")
        found[template.key] = template
    if not found:
        raise BadTemplate(f"{folder} holds no work-order template.")
    for template in found.values():
        _check_follower(folder, template, found)
    return Templates(found)


def _check_follower(
    folder: Path, template: WorkOrderTemplate, found: dict[str, WorkOrderTemplate]
) -> None:
    after = template.followed_by
    if (template.role is Role.TURN_UP) != (after is not None):
        raise BadTemplate(
            f"{folder}: '{template.key}' is of role {template.role}: `followed_by` names what "
            f"takes down the old side of a {Role.TURN_UP}, and only there."
        )
    if after is not None and (after not in found or found[after].role is not Role.DISCONNECT):
        raise BadTemplate(
            f"{folder}: '{template.key}' is followed by '{after}', which is no template of role "
            f"{Role.DISCONNECT}."
        )


def _read(path: Path) -> WorkOrderTemplate:
    read = read_operator_file(path, _File, BadTemplate)
    tasks = tuple(
        TaskTemplate(
            name=task.name,
            kind=task.kind,
            code=task.code,
            queue=task.queue,
            phase=task.phase,
            duration_days=_duration(task),
            milestone_of=task.milestone_of,
            after=task.after,
        )
        for task in read.tasks
    )
    _check(path, read.role, tasks)
    return WorkOrderTemplate(read.key, read.role, _in_order(path, tasks), read.followed_by)


def _duration(task: _Task) -> int:
    if task.duration_days is not None:
        return task.duration_days
    return 1 if task.kind in (TaskKind.MANUAL, TaskKind.WAIT) else 0


def _check(path: Path, role: Role, tasks: tuple[TaskTemplate, ...]) -> None:
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise BadTemplate(f"{path}: two steps are named '{name}'.")
    for task in tasks:
        if unknown := set(task.after) - set(names):
            raise BadTemplate(f"{path}: '{task.name}' comes after unknown {sorted(unknown)}.")
        if (task.kind is TaskKind.CODE) != (task.code is not None):
            raise BadTemplate(f"{path}: '{task.name}': code goes with kind Code, and only there.")
    wanted = BILLING_MILESTONE[role]
    count = sum(1 for task in tasks if task.milestone_of is wanted)
    if count != 1:
        raise BadTemplate(
            f"{path}: a work order of role {role} needs exactly one step with "
            f"`milestone_of: {wanted}`, this one has {count}."
        )


def _in_order(path: Path, tasks: tuple[TaskTemplate, ...]) -> tuple[TaskTemplate, ...]:
    place = {task.name: n for n, task in enumerate(tasks)}
    sorter = TopologicalSorter({task.name: task.after for task in tasks})
    try:
        sorter.prepare()
    except CycleError as error:
        raise BadTemplate(f"{path}: the steps go round in a circle: {error.args[1]}") from None
    ordered: list[TaskTemplate] = []
    while sorter.is_active():
        # As written in the file wherever the dependencies leave a choice.
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        ordered.extend(tasks[place[name]] for name in ready)
        sorter.done(*ready)
    return tuple(ordered)
