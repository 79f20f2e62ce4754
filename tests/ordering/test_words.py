"""The words of domain 3 stand in code, tables and catalogue; they have to be the same words."""

from enum import StrEnum

import pytest

from connector.catalog import files
from connector.inventory.states import ServiceState
from connector.ordering.request_types import RequestType
from connector.ordering.task_states import TaskState
from connector.store.tables import inventory, ordering


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (RequestType, ordering.REQUEST_TYPES),
        (RequestType, files.REQUEST_TYPES),
        (TaskState, ordering.TASK_STATES),
        (ServiceState, inventory.SERVICE_STATES),
    ],
)
def test_are_the_same_everywhere(words: type[StrEnum], written: tuple[str, ...]) -> None:
    assert {str(word) for word in words} == set(written)
