"""Which acts a task allows in which state."""

import pytest

from connector.ordering.task_states import FINAL, TaskAction, TaskState, TaskStateConflict, moves


def allowed(present: TaskState, action: TaskAction) -> bool | None:
    try:
        return moves(number="TSK-1", name="Step", present=present, action=action)
    except TaskStateConflict:
        return None


@pytest.mark.parametrize(
    ("action", "moving", "standing"),
    [
        (TaskAction.START, {"Ready", "Waiting"}, {"In Progress"}),
        (TaskAction.COMPLETE, {"Ready", "In Progress", "Waiting"}, {"Completed"}),
        (TaskAction.RESTART, {"In Progress", "Waiting", "Error"}, {"Ready"}),
        (
            TaskAction.DISMISS,
            {"Pending", "Ready", "In Progress", "Waiting", "Error"},
            {"Skipped"},
        ),
    ],
)
def test_each_act_moves_from_its_states_and_rests_in_its_result(
    action: TaskAction, moving: set[str], standing: set[str]
) -> None:
    outcome = {state: allowed(state, action) for state in TaskState}

    assert {state for state, moved in outcome.items() if moved} == moving
    assert {state for state, moved in outcome.items() if moved is False} == standing


@pytest.mark.parametrize("state", sorted(FINAL))
def test_nothing_leaves_a_final_state(state: TaskState) -> None:
    assert not any(allowed(state, action) for action in TaskAction)


def test_a_refusal_says_what_is_possible() -> None:
    with pytest.raises(TaskStateConflict, match="Possible now: Restart, Dismiss"):
        moves(number="TSK-1", name="Step", present=TaskState.ERROR, action=TaskAction.COMPLETE)
