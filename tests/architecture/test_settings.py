"""A setting that no code reads is a promise that nobody keeps."""

import ast
from pathlib import Path

from connector.config import Settings
from connector.config_report import section_of

CONNECTOR = Path(__file__).parents[2] / "connector"


def test_every_setting_is_read_by_code_outside_the_settings() -> None:
    read = {
        node.attr
        for file in CONNECTOR.rglob("*.py")
        if file.name not in ("config.py", "config_report.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    # `lake_dir` answers for `lake.folder`, empty or not.
    read |= {"folder"} if "lake_dir" in read else set()

    unread = [
        f"{section}.{key}"
        for section, field in Settings.model_fields.items()
        for key in section_of(field).model_fields
        if key not in read
    ]

    assert unread == []
