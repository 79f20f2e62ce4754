"""Row B24: licences are commitments; seats go back within the vendor's window, or at renewal."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from delivery_world import DeliveryWorld, at, line
from hypothesis import given
from hypothesis import strategies as st

from connector.catalog.load import load_catalog
from connector.flows.win import DealNotDeliverable
from connector.inventory.commitment import Batch, Committed, batches_of, commitments_of

ORDERED, RENEWAL = date(2026, 6, 16), date(2027, 6, 16)
CATALOG = """
products:
  - key: licence
    brand: default
    name: Licence
    vendor: Northsoft
    commitment: {window_days: 7}
    prices:
      - {request: NEW, term: 12, currency: EUR, mr: 10, template: provision-cloud, from: 2026-01-01}
      - {request: UPGRADE, currency: EUR, mr: 10, template: change-in-place, from: 2026-01-01}
      - {request: DOWNGRADE, currency: EUR, mr: 10, template: change-in-place, from: 2026-01-01}
      - {request: CANCEL, currency: EUR, template: disconnect, from: 2026-01-01}
  - key: small-licence
    brand: default
    name: Small licence
    prices:
      - {request: DOWNGRADE, currency: EUR, mr: 5, template: change-in-place, from: 2026-01-01}
"""


@pytest.fixture
def shop(world: DeliveryWorld, tmp_path: Path) -> DeliveryWorld:
    (tmp_path / "licences.yaml").write_text(CATALOG)
    with world.store.transaction() as tx:
        load_catalog(tx=tx, folder=tmp_path, now=at(date(2026, 1, 3)))
    return world


@pytest.fixture
def seats(shop: DeliveryWorld) -> int:
    """Ten seats ordered on 16 June, five more on 1 July; return their service."""
    new = line("licence", "NEW", quantity=Decimal(10), term_months=12)
    shop.win(shop.deal([new]), ORDERED)
    shop.deliver(ORDERED)
    service = int(shop.one("SELECT id FROM service").id)
    ask(shop, service, "UPGRADE", 15, today=date(2026, 7, 1))
    shop.deliver(date(2026, 7, 1))
    return service


def ask(
    shop: DeliveryWorld,
    service: int,
    request: str,
    quantity: int,
    *,
    today: date,
    dated: date | None = None,
    product: str = "licence",
) -> None:
    wanted = line(
        product,
        request,
        quantity=Decimal(quantity),
        requested_on=dated,
        target_service_key=f"l2c:service:{service}",
    )
    shop.win(shop.deal([wanted]), today)


def test_seats_go_back_on_day_seven_of_their_batch(shop: DeliveryWorld, seats: int) -> None:
    ask(shop, seats, "DOWNGRADE", 10, today=date(2026, 7, 7))

    assert shop.count("customer_order") == 3


def test_on_day_nine_they_are_refused_and_renewal_is_offered(
    shop: DeliveryWorld, seats: int
) -> None:
    with pytest.raises(DealNotDeliverable, match=f"at renewal, on {RENEWAL}, all may go"):
        ask(shop, seats, "DOWNGRADE", 10, today=date(2026, 7, 9))

    assert shop.count("customer_order") == 2


def test_only_the_batch_whose_window_is_open_goes_back(shop: DeliveryWorld, seats: int) -> None:
    with pytest.raises(DealNotDeliverable, match=r"7 of 15 seats .* on that day are 5"):
        ask(shop, seats, "DOWNGRADE", 8, today=date(2026, 7, 7))


@pytest.mark.parametrize(("request_type", "product"), [
    ("CANCEL", "licence"), ("DOWNGRADE", "small-licence"),
])  # fmt: skip
def test_inside_the_term_all_of_it_can_be_neither_cancelled_nor_downgraded(
    shop: DeliveryWorld, seats: int, request_type: str, product: str
) -> None:
    with pytest.raises(DealNotDeliverable, match="15 of 15 seats"):
        ask(shop, seats, request_type, 15, today=date(2026, 7, 9), product=product)


def test_at_renewal_everything_may_go(shop: DeliveryWorld, seats: int) -> None:
    ask(shop, seats, "CANCEL", 15, today=date(2026, 7, 9), dated=RENEWAL)

    assert shop.count("customer_order") == 3


def test_what_was_given_up_came_from_the_latest_batch(shop: DeliveryWorld, seats: int) -> None:
    ask(shop, seats, "DOWNGRADE", 12, today=date(2026, 7, 5), dated=date(2026, 7, 5))
    shop.deliver(date(2026, 7, 5))

    with shop.store.read() as tx:
        commitment = commitments_of(tx=tx, ids=[seats])[seats]

    assert commitment.batches == (
        Batch(ORDERED, Decimal(10)),
        Batch(date(2026, 7, 1), Decimal(2)),
    )
    with pytest.raises(Committed):
        commitment.check(service="S", on=date(2026, 7, 6), quantity=Decimal(9))


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(0, 50))
def test_batches_always_add_up_to_what_there_is(later: list[int], first: int) -> None:
    days = [(date(2026, 6, day), Decimal(many)) for day, many in enumerate(later, start=2)]

    batches = batches_of(Batch(date(2026, 6, 1), Decimal(first)), days)

    assert sum(one.quantity for one in batches) == (later[-1] if later else first)
    assert [one.since for one in batches] == sorted(one.since for one in batches)
