"""A wrong mapping file is one sentence with file and line."""

from pathlib import Path

import pytest
from billing_systems_world import EXAMPLE

from connector.adapters.billing_systems.sql.definition import (
    BadBillingMapping,
    load_system,
    load_systems,
)
from connector.billing.routing import BadRouting, load_routing

MISTAKES = {
    "an unknown key": ("about: Acc", "abuot: Acc", 4, "'abuot' is not known here"),
    "an unknown field": ("crm_id: crm_ref", "crm: crm_ref", 13, "'crm' is not known here"),
    "a missing field": ("      due_on: due_date\n", "", 24, "the field due_on is missing"),
    "a word that is none of ours": (
        "G: Credit Note",
        "G: Gutschrift",
        27,
        "'Gutschrift' is no type in the stream invoice",
    ),
    "a name that is SQL": (
        "from: ar.receipts",
        "from: (SELECT 1)",
        55,
        "'(SELECT 1)' is no plain name of a table or column",
    ),
    "the built-in system's name": (
        "system: oldbooks",
        "system: builtin",
        3,
        "'builtin' cannot be the name of a billing system",
    ),
    "another name than the file's": (
        "system: oldbooks",
        "system: newbooks",
        3,
        "the file of the system 'newbooks' is not called newbooks.yaml",
    ),
    "a kind of change nobody knows": (
        "{column: touched_ts, kind: time, overlap: 300}",
        "{column: touched_ts, kind: clock}",
        11,
        "'clock' is neither time nor number",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_tells_file_line_and_mistake(mistake: str, tmp_path: Path) -> None:
    right, wrong, line, said = MISTAKES[mistake]
    text = (EXAMPLE / "oldbooks.yaml").read_text(encoding="utf-8")
    assert right in text
    path = tmp_path / "oldbooks.yaml"
    path.write_text(text.replace(right, wrong), encoding="utf-8")

    with pytest.raises(BadBillingMapping) as refusal:
        load_system(path)

    assert refusal.value.message.startswith(f"{path}, line {line}: {said}")


def test_the_example_is_not_in_use_where_it_lies() -> None:
    assert load_systems(EXAMPLE.parents[1]) == ()


def test_routing_tells_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "billing_routing.yaml"
    path.write_text("default: builtin\nbrands:\n  north: Old Books\n", encoding="utf-8")

    with pytest.raises(BadRouting, match=r"billing_routing.yaml, line 3: brands.north"):
        load_routing(path)


def test_without_a_routing_file_everything_is_billed_here(tmp_path: Path) -> None:
    assert load_routing(tmp_path / "none.yaml").systems() == {"builtin"}
