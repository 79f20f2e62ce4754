"""Templates are read strictly: a wrong one names its file, its line and what is wrong."""

from pathlib import Path

import pytest

from connector.errors import Misconfigured
from connector.flows.rules import MisplacedCode, UnknownCode, load_delivery_rules
from connector.ordering.policy import BadDeliveryPolicy, load_delivery_policy
from connector.ordering.templates import BadTemplate, load_templates
from connector.parties.billing_accounts import PayerTerms
from connector.resources import mappings_dir

STEP = "{name: A, kind: Manual, milestone_of: Billing start}"


def template(folder: Path, *tasks: str, role: str = "Deliver", key: str = "t") -> Path:
    lines = "".join(f"  - {task}\n" for task in tasks)
    folder.mkdir(exist_ok=True)
    folder.joinpath(f"{key}.yaml").write_text(f"key: {key}\nrole: {role}\ntasks:\n{lines}")
    return folder


def test_the_delivered_rules_are_sound() -> None:
    rules = load_delivery_rules(mappings_dir(), payers=PayerTerms())

    assert {"deliver-voice", "disconnect", "ship"} <= set(rules.templates.by_key)


def test_puts_predecessors_first_and_keeps_the_written_order(tmp_path: Path) -> None:
    folder = template(
        tmp_path,
        "{name: C, kind: Manual, after: [B], milestone_of: Billing start}",
        "{name: A, kind: Manual}",
        "{name: B, kind: Manual, after: [A]}",
        "{name: D, kind: Manual}",
    )

    names = [task.name for task in load_templates(folder).get("t").tasks]

    assert names == ["A", "D", "B", "C"]


@pytest.mark.parametrize(
    ("tasks", "reason"),
    [
        (["{name: A, kind: Manual}"], "exactly one step with `milestone_of: Billing start`"),
        ([STEP, STEP.replace("A", "B")], "this one has 2"),
        ([STEP, STEP], "two steps are named 'A'"),
        ([STEP, "{name: B, kind: Manual, after: [X]}"], "'B' comes after unknown"),
        (
            [STEP, "{name: B, kind: Manual, after: [C]}", "{name: C, kind: Manual, after: [B]}"],
            "go round in a circle",
        ),
        ([STEP, "{name: B, kind: Code}"], "code goes with kind Code"),
        ([STEP, "{name: B, kind: Manual, colour: red}"], r"line 5: tasks\.1\.colour"),
        ([STEP, "{name: B, kind: Magic}"], r"line 5: tasks\.1\.kind"),
    ],
)
def test_refuses_a_template_that_cannot_work(tmp_path: Path, tasks: list[str], reason: str) -> None:
    with pytest.raises(BadTemplate, match=reason):
        load_templates(template(tmp_path, *tasks))


def test_refuses_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(BadTemplate, match="holds no work-order template"):
        load_templates(tmp_path)


@pytest.mark.parametrize(
    ("task", "error"),
    [
        ("{name: B, kind: Code, code: nothing.known}", UnknownCode),
        ("{name: B, kind: Code, code: billing.charge_once}", MisplacedCode),
    ],
)
def test_refuses_code_that_is_unknown_or_moves_billing_at_the_wrong_step(
    tmp_path: Path, task: str, error: type[Misconfigured]
) -> None:
    template(tmp_path / "work_orders", STEP, task)

    with pytest.raises(error):
        load_delivery_rules(tmp_path, payers=PayerTerms())


def test_refuses_a_milestone_whose_code_moves_no_billing(tmp_path: Path) -> None:
    idle = "{name: A, kind: Code, code: billing.open_account, milestone_of: Billing start}"
    template(tmp_path / "work_orders", idle)

    with pytest.raises(MisplacedCode, match="moves no billing"):
        load_delivery_rules(tmp_path, payers=PayerTerms())


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("timezone: Europe/Atlantis", "line 1: timezone"),
        ("auto_start: true\nretry_minutes: [0]", r"line 2: retry_minutes\.0"),
        ("working_days: []", "line 1: working_days"),
        ("auto_begin: true", "line 1: auto_begin"),
    ],
)
def test_refuses_a_policy_with_file_and_line(tmp_path: Path, text: str, place: str) -> None:
    path = tmp_path / "delivery.yaml"
    path.write_text(text)

    with pytest.raises(BadDeliveryPolicy, match=f"delivery.yaml, {place}"):
        load_delivery_policy(path)
