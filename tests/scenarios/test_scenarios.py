"""Runs every `*.yaml` here but `prices` by the rules alone, and what the store can play for real.

The grammar is in docs/how-to/simulate.md.
"""

from pathlib import Path

import pytest
import yaml
from played_for_real import RealPlay, can_be_played, documents_of
from sqlalchemy import text

from connector.billing.explain import adds_up
from connector.charging import recurring
from connector.simulation.checks import differences
from connector.simulation.outcome import outcome
from connector.simulation.play import EventRefused, play
from connector.simulation.read import read_script
from connector.store.engine import Store

FOLDER = Path(__file__).parent
FILES = sorted(set(FOLDER.rglob("*.yaml")) - set((FOLDER / "prices").glob("*.yaml")))
REAL = [path for path in FILES if can_be_played(read_script(path)[0])]


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


@pytest.mark.parametrize("path", REAL, ids=name)
def test_is_what_the_real_bill_run_makes_of_the_same_history(
    path: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, _ = read_script(path)
    (tmp_path / "policies").mkdir()
    policies = RealPlay.policies(script)
    (tmp_path / "policies" / "proration.yaml").write_text(yaml.safe_dump(policies))
    monkeypatch.setattr(recurring, "mappings_dir", lambda: tmp_path)
    simulated = play(script)

    real = RealPlay(store, script)
    real.run()

    assert documents_of(real) == [
        {
            "type": one.draft.type,
            "date": one.draft.invoice_on,
            "due": one.draft.due_on,
            "period": (one.draft.period_start, one.draft.period_end),
            "subtotal": one.draft.subtotal,
            "total": one.draft.total,
            "balance": one.balance,
            "lines": sorted(
                (
                    taxed.line.kind,
                    taxed.line.description,
                    taxed.line.charge.site,
                    taxed.line.service_from,
                    taxed.line.service_to,
                    taxed.line.quantity,
                    taxed.line.unit_price,
                    taxed.line.amount,
                    taxed.tax_percent,
                    taxed.line.explanation["value"],
                )
                for taxed in one.draft.lines
            ),
        }
        for one in simulated.documents
    ]
    assert real.unapplied() == sum(
        payment.unapplied
        for ledger in simulated.world.ledgers.values()
        for payment in ledger.payments
    )
    _journal_tells_the_same(real)


def test_there_are_scenarios_of_both_kinds() -> None:
    assert len(FILES) >= 80
    assert len(REAL) >= 40


def _journal_tells_the_same(real: RealPlay) -> None:
    with real.world.store.read() as tx:
        receivables, open_amount = tx.execute(
            text(
                "SELECT (SELECT coalesce(sum(debit - credit), 0) FROM journal_line "
                "         WHERE account_code = '1200'), "
                "       (SELECT coalesce(sum(balance), 0) FROM v_invoice_balance)"
            )
        ).one()
        credits, unapplied = tx.execute(
            text(
                "SELECT (SELECT coalesce(sum(credit - debit), 0) FROM journal_line "
                "         WHERE account_code IN ('1700', '1705')), "
                "       (SELECT coalesce(sum(unapplied), 0) FROM v_payment_unapplied)"
            )
        ).one()
    assert receivables == open_amount
    assert credits == unapplied
