"""The legal moves of a service (domain 3.2)."""

from itertools import product

import pytest

from connector.inventory.states import ServiceState, ServiceStateConflict, check_move

LEGAL = {
    ("New", "In Service"),
    ("New", "Order Canceled"),
    ("In Service", "Suspended for Non-Pay"),
    ("In Service", "Canceled By User"),
    ("In Service", "Canceled for Non-Pay"),
    ("In Service", "Expired"),
    ("Suspended for Non-Pay", "In Service"),
    ("Suspended for Non-Pay", "Canceled for Non-Pay"),
    ("Suspended for Non-Pay", "Canceled By User"),
}


@pytest.mark.parametrize(("present", "wanted"), list(product(ServiceState, ServiceState)))
def test_moves_only_along_the_table(present: ServiceState, wanted: ServiceState) -> None:
    if (str(present), str(wanted)) in LEGAL:
        check_move(number="SRV-1", present=present, wanted=wanted)
        return
    with pytest.raises(ServiceStateConflict, match=f"is {present} and cannot become {wanted}"):
        check_move(number="SRV-1", present=present, wanted=wanted)


def test_says_which_moves_are_left() -> None:
    with pytest.raises(ServiceStateConflict, match="Possible from here: In Service, Order Canc"):
        check_move(number="SRV-1", present=ServiceState.NEW, wanted=ServiceState.EXPIRED)
