"""The generated reference says what the code says."""

import runpy
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

DOCS = Path(__file__).parents[2] / "docs"
GENERATOR = SimpleNamespace(**runpy.run_path(str(DOCS / "generate_reference.py")))


@pytest.mark.parametrize("page", sorted(GENERATOR.PAGES))
def test_a_page_is_current(page: str) -> None:
    written = (DOCS / "reference" / page).read_text(encoding="utf-8")

    assert written == GENERATOR.PAGES[page](), "run: python docs/generate_reference.py"


def test_every_error_has_a_code_of_its_own() -> None:
    codes = Counter(error.code for error in GENERATOR._all_errors())

    assert {code: count for code, count in codes.items() if count > 1} == {}


def test_every_error_says_what_it_means() -> None:
    errors = GENERATOR._all_errors()

    assert len(errors) > 50
    assert [error.__name__ for error in errors if not error.__doc__] == []


def test_every_meaning_is_of_a_key_that_exists() -> None:
    known = {
        f"{model}.{key}"
        for model in {name.split(".")[0] for name in GENERATOR.MEANINGS}
        for key in getattr(GENERATOR.mapping, model).model_fields
    }

    assert set(GENERATOR.MEANINGS) - known == set()
