"""What every org does: the tables of connector/cli/probe/cases, tried on one org."""

from collections import Counter

import pytest

from connector.cli.probe.cases import Case, load_cases, load_tables
from connector.cli.probe.trying import TriedOrg, Verdict


@pytest.mark.parametrize("case", [pytest.param(c, id=c.title) for c in load_cases()])
def test_the_org_does(tried: TriedOrg, case: Case, request: pytest.FixtureRequest) -> None:
    is_local = request.config.getoption("--org", default=None) is None
    if is_local and "CurrencyType" in case.needs:
        tried = request.getfixturevalue("with_currencies")

    outcome = tried.try_case(case)

    if outcome.verdict is Verdict.SKIPPED and not is_local:
        pytest.skip(outcome.said)
    assert outcome.verdict is Verdict.HOLDS, outcome.said


def test_there_are_cases_enough_and_each_has_a_mark() -> None:
    cases = load_cases()

    assert len(cases) >= 250
    assert {case.mark for case in cases} <= set("DWRCTK")
    assert [title for title, n in Counter(c.title for c in cases).items() if n > 1] == []


def test_every_part_has_a_case() -> None:
    parts = {part.number for table in load_tables() for part in table.parts if not part.missing}

    assert parts - {case.fact for case in load_cases()} == set()


def test_harmless_cases_write_nothing() -> None:
    harmless = [case for case in load_cases() if case.is_harmless]

    assert len(harmless) > 50
    assert [case.title for case in harmless if case.given] == []
