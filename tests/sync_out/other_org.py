"""A local org of its own kind: the shipped schema and what an administrator added to it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from l2c_sandbox.org import Org, OrgSettings
from l2c_sandbox.server import SandboxServer

CHECKOUT = Path(__file__).parents[2]
_NAMESPACE = 'xmlns="http://soap.sforce.com/2006/04/metadata"'
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'


def copied_schema(folder: Path) -> Path:
    """Copy the shipped metadata, to be changed."""
    return Path(shutil.copytree(CHECKOUT / "salesforce" / "force-app", folder / "force-app"))


def add_text_field(schema: Path, *, object_name: str, name: str) -> None:
    """Add a field of 80 characters and let the connector's user write it."""
    objects = schema / "main" / "default" / "objects" / object_name
    (objects / "fields" / f"{name}.field-meta.xml").write_text(
        f"{_HEAD}<CustomField {_NAMESPACE}><fullName>{name}</fullName><label>{name}</label>"
        "<length>80</length><type>Text</type></CustomField>"
    )
    sets = schema / "main" / "default" / "permissionsets"
    grants = sets / "L2C_Integration.permissionset-meta.xml"
    grant = (
        f"<fieldPermissions><editable>true</editable><field>{object_name}.{name}</field>"
        "<readable>true</readable></fieldPermissions>\n    <fieldPermissions>"
    )
    grants.write_text(grants.read_text().replace("<fieldPermissions>", grant, 1))


def add_record_type(schema: Path, *, object_name: str, name: str, picklists: str = "") -> None:
    """Add a record type."""
    folder = schema / "main" / "default" / "objects" / object_name / "recordTypes"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.recordType-meta.xml").write_text(
        f"{_HEAD}<RecordType {_NAMESPACE}><fullName>{name}</fullName><active>true</active>"
        f"<label>{name}</label>{picklists}</RecordType>"
    )


@contextmanager
def running(settings: OrgSettings) -> Iterator[SandboxServer]:
    """Run an org until the end of the block."""
    server = SandboxServer(Org(settings), host="127.0.0.1", port=0)
    server.start()
    try:
        yield server
    finally:
        server.close()


def add_rule(schema: Path, *, object_name: str, name: str, formula: str) -> None:
    """Add a validation rule that refuses what the formula is true for."""
    folder = schema / "main" / "default" / "objects" / object_name / "validationRules"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.validationRule-meta.xml").write_text(
        f"{_HEAD}<ValidationRule {_NAMESPACE}><fullName>{name}</fullName><active>true</active>"
        f"<errorConditionFormula>{formula}</errorConditionFormula>"
        "<errorMessage>Nobody may write this.</errorMessage></ValidationRule>"
    )
