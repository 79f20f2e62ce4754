"""The tax provider behind HTTP: what it is sent, and every way in which it can fail."""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
import requests
import responses

from connector.adapters.tax.http import HttpTaxProvider, TaxProviderDown, TaxProviderRefuses
from connector.billing.tax import AppliedTax, TaxPart, Treatment
from connector.billing.tax_answers import TaxQuestion

URL = "https://taxes.example/rates"
DAY = date(2026, 7, 31)
CALLS = TaxQuestion("US", "10118", "New York", "350 Fifth Avenue", "business", "telecom", DAY)
HOSTING = TaxQuestion("DE", "55116", "Mainz", "Rheinallee 12", "person", "standard", DAY)


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def provider(pauses: list[float]) -> HttpTaxProvider:
    return HttpTaxProvider(URL, token="t0ken", timeout_s=7, pause=pauses.append)


def answer(*answers: Any) -> None:
    responses.post(URL, body=json.dumps({"answers": answers}))


@responses.activate
def test_a_batch_is_one_call_with_exact_rates(provider: HttpTaxProvider) -> None:
    responses.post(
        URL, body='{"answers": [{"percent": 8.875}, {"percent": "0", "treatment": "exempt"}]}'
    )

    assert provider.answers([CALLS, HOSTING]) == {
        CALLS: AppliedTax("telecom", Decimal("8.875")),
        HOSTING: AppliedTax("standard", Decimal(0), Treatment.EXEMPT),
    }
    (call,) = responses.calls
    assert call.request.headers["Authorization"] == "Bearer t0ken"
    assert json.loads(call.request.body)["questions"][0] == {
        "country": "US",
        "postal_code": "10118",
        "city": "New York",
        "street": "350 Fifth Avenue",
        "customer": "business",
        "category": "telecom",
        "supplied_on": "2026-07-31",
    }


@responses.activate
def test_several_taxes_of_a_line_are_told_apart(provider: HttpTaxProvider) -> None:
    fee = {"name": "911 fee", "amount": "1.25", "currency": "USD"}
    answer({"taxes": [{"name": "State tax", "percent": "4"}, fee]})

    told = provider.answers([CALLS])[CALLS]

    assert told.percent == 4
    assert told.parts == (
        TaxPart("State tax", percent=Decimal(4)),
        TaxPart("911 fee", amount=Decimal("1.25"), currency="USD"),
    )


@responses.activate
def test_what_it_does_not_know_is_left_out(provider: HttpTaxProvider) -> None:
    answer({"error": "no such street"}, {"percent": "19"})

    assert list(provider.answers([CALLS, HOSTING])) == [HOSTING]


@responses.activate
def test_a_busy_one_is_asked_again_after_a_pause(
    provider: HttpTaxProvider, pauses: list[float]
) -> None:
    responses.post(URL, status=503)
    responses.post(URL, body=requests.ConnectionError())
    answer({"percent": "19"})

    assert provider.answers([HOSTING])[HOSTING].percent == 19
    assert pauses == [0.5, 2.0]


@pytest.mark.parametrize(
    "failure",
    [
        {"status": 500},
        {"status": 429},
        {"body": requests.ReadTimeout()},
        {"body": requests.exceptions.ChunkedEncodingError()},
    ],
)
@responses.activate
def test_one_that_stays_down_is_left_alone_after_three_tries(
    provider: HttpTaxProvider, failure: dict[str, Any]
) -> None:
    responses.post(URL, **failure)

    with pytest.raises(TaxProviderDown, match="in 3 tries"):
        provider.answers([HOSTING])
    assert len(responses.calls) == 3


@pytest.mark.parametrize("status", [302, 400, 401, 404])
@responses.activate
def test_a_refusal_is_not_tried_again(provider: HttpTaxProvider, status: int) -> None:
    responses.post(URL, status=status, headers={"Location": "https://elsewhere.example"})

    with pytest.raises(TaxProviderRefuses, match=f"HTTP {status}"):
        provider.answers([HOSTING])
    assert len(responses.calls) == 1


@pytest.mark.parametrize("url", ["taxes.example", "ftp://taxes.example", "https://", "http://[::1"])
def test_an_address_that_is_none_is_the_operators_to_mend(url: str) -> None:
    with pytest.raises(TaxProviderRefuses, match="cannot be asked") as refused:
        HttpTaxProvider(url).answers([HOSTING])
    assert "taxes" not in str(refused.value)  # the address may hold a password


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "[]",
        '{"answers": []}',
        '{"answers": [{}]}',
        '{"answers": [null]}',
        '{"answers": [{"percent": "many"}]}',
        '{"answers": [{"percent": "NaN"}]}',
        '{"answers": [{"percent": true}]}',
        '{"answers": [{"percent": "-1"}]}',
        '{"answers": [{"percent": "101"}]}',
        '{"answers": [{"percent": "5", "treatment": "exempt"}]}',
        '{"answers": [{"percent": "5", "treatment": "gift"}]}',
        '{"answers": [{"percent": "0.00000000001"}]}',
        '{"answers": [{"taxes": []}]}',
        '{"answers": [{"taxes": [{"name": "A"}]}]}',
        '{"answers": [{"taxes": [{"name": "", "percent": "1"}]}]}',
        '{"answers": [{"taxes": [{"name": "A", "percent": "1", "amount": "1"}]}]}',
        '{"answers": [{"taxes": [{"name": "A", "amount": "1.25"}]}]}',
        '{"answers": [{"taxes": [{"name": "A", "amount": "-1", "currency": "USD"}]}]}',
        '{"answers": [{"taxes": [{"name": "A", "amount": "1", "currency": "UFO"}]}]}',
        '{"answers": [{"taxes": [{"name": "A", "amount": "1.00001", "currency": "USD"}]}]}',
        '{"answers": [{"taxes": [{"name": "A", "percent": "1"}, {"name": "A", "percent": "2"}]}]}',
        '{"answers": [{"taxes": [{"name": "A", "percent": 60}, {"name": "B", "percent": 60}]}]}',
        '{"answers": [{"taxes": [{"name": "A", "percent": "1"}], "treatment": "inclusive"}]}',
    ],
)
@responses.activate
def test_an_answer_that_is_none_taxes_nothing(provider: HttpTaxProvider, body: str) -> None:
    responses.post(URL, body=body)

    with pytest.raises(TaxProviderRefuses):
        provider.answers([HOSTING])
