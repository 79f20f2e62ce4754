"""The small file that says how an org keeps its services and how invoices are laid out."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from connector.errors import Misconfigured
from connector.resources import mappings_dir
from connector.yaml_file import read_yaml

FieldPath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*){0,4}$")
]
ObjectName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class WrongDefinition(Misconfigured):
    """The file given with --services is not as it should be."""

    code = "audit.wrong_definition"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServiceSource(_Strict):
    """Where the org keeps its services."""

    object: ObjectName
    key: FieldPath
    account: FieldPath
    account_name: FieldPath | None = None
    status: FieldPath
    active: tuple[str, ...] = Field(min_length=1)
    monthly_price: FieldPath
    currency: FieldPath | None = None
    currency_code: str | None = None
    where: str | None = None


class InvoiceColumns(_Strict):
    """Which columns of the invoices are read."""

    service: str | None = "service"
    account: str | None = "account"
    amount: str = "amount"
    currency: str = "currency"
    date: str = "date"


class AuditDefinition(_Strict):
    """Both sides of the audit."""

    services: ServiceSource
    invoices: InvoiceColumns = InvoiceColumns()


def load_definition(file: Path | None = None) -> AuditDefinition:
    """Read the file, by default the one for the connector's own objects.

    Raises:
        UnreadableFile: It is no YAML.
        WrongDefinition: A key is wrong; the message names file and line.
    """
    yaml = read_yaml(file or mappings_dir() / "audit.yaml")
    try:
        definition = AuditDefinition.model_validate(yaml.data)
    except ValidationError as error:
        first = error.errors()[0]
        place = tuple(first["loc"])
        raise _wrong(
            yaml, place, f"{'.'.join(map(str, place)) or 'file'}: {first['msg']}"
        ) from error
    services, invoices = definition.services, definition.invoices
    if (services.currency is None) == (services.currency_code is None):
        raise _wrong(yaml, ("services",), "either `currency` or `currency_code` has to be there")
    if invoices.service is None and invoices.account is None:
        raise _wrong(yaml, ("invoices",), "either `service` or `account` has to be there")
    return definition


def _wrong(yaml: Any, place: tuple[int | str, ...], problem: str) -> WrongDefinition:
    return WrongDefinition(
        f"{yaml.path}, line {yaml.line_of(place)}: {problem}.",
        remedy="Correct it after the example mappings/audit.yaml.",
    )
