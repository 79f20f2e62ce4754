"""Runs every `*.yaml` here but `prices` by the rules alone, and again in the real store.

The grammar is in docs/how-to/simulate.md.
"""

from pathlib import Path

import pytest
from played_for_real import RealPlay, documents_of, simulated_documents

from connector.billing.explain import adds_up
from connector.charging import opening
from connector.errors import ConnectorError
from connector.simulation.checks import differences
from connector.simulation.outcome import outcome
from connector.simulation.play import EventRefused, play
from connector.simulation.read import read_script
from connector.store.engine import Store

FOLDER = Path(__file__).parent
FILES = sorted(set(FOLDER.rglob("*.yaml")) - set((FOLDER / "prices").glob("*.yaml")))


def name(path: Path) -> str:
    return str(path.relative_to(FOLDER).with_suffix(""))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_comes_out_as_it_says(path: Path) -> None:
    script, _ = read_script(path)
    assert script.about
    assert script.then is not None
    if script.then.refused:
        with pytest.raises(EventRefused) as refused:
            play(script)
        assert refused.value.cause.code == script.then.refused
        return

    played = play(script)

    assert differences(script, outcome(played)) == []
    assert [
        taxed.line.description
        for document in played.documents
        for taxed in document.draft.lines
        if not adds_up({"explanation": taxed.line.explanation, "amount": taxed.line.amount})
    ] == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_is_what_the_real_bill_run_makes_of_the_same_history(
    path: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, _ = read_script(path)
    RealPlay.write_policies(script, tmp_path)
    monkeypatch.setattr(opening, "mappings_dir", lambda: tmp_path)
    real = RealPlay(store, script)
    if script.then is not None and script.then.refused:
        with pytest.raises(ConnectorError) as refused:
            real.run()
        assert refused.value.code == script.then.refused
        return

    real.run()
    simulated = play(script)

    assert documents_of(real) == simulated_documents(simulated)
    assert real.unapplied() == sum(
        payment.unapplied
        for ledger in simulated.world.ledgers.values()
        for payment in ledger.payments
    )
    real.journal_tells_the_same()


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 80
