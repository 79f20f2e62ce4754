"""The settings: config.yaml, then secret files, then the environment; the last word wins.

A key `salesforce.client_secret` is the variable `L2C_SALESFORCE__CLIENT_SECRET` and the secret file
`l2c_salesforce__client_secret` in `L2C_SECRETS_DIR` (default /run/secrets). Relative paths count
from the folder of the file, or from the current folder when there is no file.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from connector.config_report import bad_settings, section_of
from connector.errors import Misconfigured
from connector.yaml_file import YamlFile, read_yaml

ENV_PREFIX = "L2C_"
CONFIG_FILE = Path("config.yaml")
_NESTED = "__"
_SECRETS_DIR = Path("/run/secrets")
_SECRET_BYTES_MAX = 64 * 1024
_BUDGET = {"interactive": 10, "push": 35, "sweep": 10, "reconcile": 5, "others": 20}


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=False)


class StoreSettings(Section):
    """Where the hub's data is."""

    url: SecretStr | None = Field(
        default=None,
        description="postgresql://user@host/database of a server; empty starts the embedded one.",
    )
    data_dir: Path = Field(
        default=Path(".l2c"),
        description="Folder of the embedded store and of the usage lake.",
    )
    durable: bool = Field(
        default=True,
        description="Embedded store: wait for the disk, so that a power cut loses nothing.",
    )
    pool_size: int = Field(
        default=8, ge=2, le=100, description="Connections one process holds at most."
    )


class SalesforceSettings(Section):
    """The org and how to log in; OAuth only."""

    login_url: str | None = Field(
        default=None, description="My Domain address, such as https://example.my.salesforce.com."
    )
    auth: Literal["client_credentials", "jwt"] = Field(
        default="client_credentials", description="OAuth flow: client_credentials or jwt (bearer)."
    )
    client_id: str | None = Field(
        default=None, description="Consumer key of the external client app."
    )
    client_secret: SecretStr | None = Field(
        default=None, description="Consumer secret, for client_credentials."
    )
    username: str | None = Field(default=None, description="User the connector acts as, for jwt.")
    private_key_file: Path | None = Field(
        default=None, description="PEM file of the certificate's private key, for jwt."
    )
    organization_id: str | None = Field(
        default=None,
        pattern=r"^00D[A-Za-z0-9]{15}$",
        description="Refuse every other org and every message of another org; 18 characters.",
    )
    api_version: str = Field(
        default="62.0", pattern=r"^\d\d\.0$", description="Version of the REST API, such as 62.0."
    )
    ca_file: Path | None = Field(
        default=None, description="Certificates to trust instead of the usual ones (PEM)."
    )
    timeout_s: int = Field(default=60, ge=1, le=600, description="Longest wait for one answer.")


class PubSubSettings(Section):
    """Change events of the org over its Pub/Sub API: outgoing connections only."""

    enabled: bool = Field(
        default=False,
        description="Listen in `l2c serve` and `l2c worker`; deliveries count against the org's "
        "daily allowance.",
    )
    endpoint: str = Field(
        default="api.pubsub.salesforce.com:7443",
        pattern=r"^[^\s/]+:\d{1,5}$",
        description="Host and port; TLS, but for a loopback address without salesforce.ca_file.",
    )
    topics: tuple[str, ...] = Field(
        default=(),
        description="Topics or channels to follow; empty is one per object the mappings pull.",
    )


class WebhookSettings(Section):
    """Messages from outside: the CRM's outbound messages, payments, provisioning."""

    secret_path: SecretStr | None = Field(
        default=None,
        description="Last part of the outbound-message address; only the org knows it.",
    )
    payment_secret: SecretStr = Field(
        default=SecretStr(""), description="Key that signs payment notices; empty refuses them all."
    )
    provisioning_secret: SecretStr = Field(
        default=SecretStr(""),
        description="Key that signs notices of what was provisioned; empty refuses them all.",
    )
    body_max_kib: int = Field(
        default=1024, ge=16, le=65536, description="Larger messages are refused unread."
    )
    signature_age_max_s: int = Field(
        default=300, ge=10, le=86400, description="Older signed notices are refused as replays."
    )


class WebSettings(Section):
    """The web server: webhooks and console."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    console_token: SecretStr | None = Field(
        default=None, description="What opens the console; empty opens it to this machine alone."
    )


class BillingSettings(Section):
    """The terms of new billing accounts; the brands of the catalogue say who issues documents."""

    payment_days: int = Field(
        default=14, ge=0, le=365, description="Days until an invoice of a new customer is due."
    )
    timezone: str = Field(
        default="Europe/Berlin",
        description="Calendar of new billing accounts and of the jobs that rate and bill.",
    )
    systems: dict[str, SecretStr] = Field(
        default={},
        description="Your own billing systems by name: postgresql://user@host/database of each.",
    )

    tax_source: Literal["table", "http"] = Field(
        default="table",
        description="Where bills find taxes: the catalogue's table, or a provider at tax_url.",
    )
    tax_url: str | None = Field(
        default=None, description="Address of the provider; see docs/concepts/taxes.md."
    )
    tax_token: SecretStr | None = Field(default=None, description="Its bearer token.")
    tax_timeout_s: int = Field(default=30, ge=1, le=300, description="How long one call may take.")

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"'{name}' is no time zone")
        return name


class SyncSettings(Section):
    """How the CRM is kept in step."""

    mappings_dir: Path | None = Field(
        default=None,
        description="Your copy of the folder `mappings`; empty takes the one that comes along.",
    )
    overlap_s: int = Field(
        default=120,
        ge=0,
        le=3600,
        description="How far a sweep looks back, because late commits exist.",
    )
    bulk_from_rows: int = Field(
        default=20_000,
        ge=1,
        description="From so many waiting rows of one entity on, they go out as Bulk API jobs.",
    )
    snapshot_from_rows: int = Field(
        default=20_000,
        ge=1,
        description="From so many rows of one object on, a comparison reads it by the Bulk API.",
    )
    shadow: bool = Field(
        default=False,
        description="Compute and show what would be sent to the CRM, but send nothing.",
    )
    budget: dict[str, int] = Field(
        default=_BUDGET,
        description="Percent of the day's API calls that are reserved for each lane.",
    )

    @field_validator("budget")
    @classmethod
    def _shares(cls, given: dict[str, int]) -> dict[str, int]:
        unknown = sorted(given.keys() - _BUDGET.keys())
        if unknown:
            raise ValueError(f"no lane is called {unknown[0]}; there are {', '.join(_BUDGET)}")
        shares = _BUDGET | given
        if min(shares.values()) < 0 or sum(shares.values()) > 100:
            raise ValueError("the shares of all lanes have to be 0 to 100 percent together")
        return shares


class JobSettings(Section):
    """Background work."""

    concurrency: int = Field(default=2, ge=1, le=32, description="Jobs one worker runs at once.")
    schedules: dict[str, str] = Field(
        default={}, description="Your schedules by job: `every 5 s`, a crontab line in UTC, or off."
    )


class LakeSettings(Section):
    """Usage files and the engine that rates them."""

    folder: Path | None = Field(
        default=None, description="Folder of the files; empty is data_dir/lake."
    )
    memory_max_mib: int = Field(
        default=1024, ge=128, description="Memory of the rating engine; more spills to disk."
    )
    threads: int = Field(default=2, ge=1, le=256, description="Threads of the rating engine.")


class Settings(BaseSettings):
    """Every setting of the connector."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    store: StoreSettings = StoreSettings()
    salesforce: SalesforceSettings = SalesforceSettings()
    pubsub: PubSubSettings = PubSubSettings()
    webhooks: WebhookSettings = WebhookSettings()
    web: WebSettings = WebSettings()
    billing: BillingSettings = BillingSettings()
    sync: SyncSettings = SyncSettings()
    jobs: JobSettings = JobSettings()
    lake: LakeSettings = LakeSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given and nothing else; `load_settings` gathers the sources."""
        return (InitSettingsSource(settings_cls, init_settings()),)

    @property
    def lake_dir(self) -> Path:
        """Return the folder of the usage files."""
        return self.lake.folder or self.store.data_dir / "lake"


def load_settings(
    config_file: Path | None = None,
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Gather and check the settings.

    Args:
        config_file: The file; by default config.yaml in the current folder, if there is one.
        overrides: Sections and keys that win over every other source.

    Raises:
        Misconfigured: A value is wrong; the message names file, line and what to write.
    """
    file = _file(config_file)
    written = file.data if file is not None else {}
    if written is None:  # an empty file
        written = {}
    if not isinstance(written, dict):
        raise Misconfigured(
            f"{file.path if file else ''}, line 1: this is no list of settings.",
            remedy="Write sections and keys as in config.example.yaml.",
        )
    try:
        environment = EnvSettingsSource(
            Settings, env_prefix=ENV_PREFIX, env_nested_delimiter=_NESTED
        )()
    except SettingsError as error:
        raise Misconfigured(
            f"The environment holds a setting that cannot be read: {error}.",
            remedy="Write lists and maps as JSON.",
        ) from error
    merged: dict[str, Any] = {}
    for source in (written, _secret_files(), environment, overrides or {}):
        merged = _merge(merged, source)
    try:
        settings = Settings(**merged)
    except (ValidationError, TypeError) as error:
        raise bad_settings(error, model=Settings, file=file, env_prefix=ENV_PREFIX) from error
    return _anchored(settings, file.path.resolve().parent if file else Path.cwd())


def _file(config_file: Path | None) -> YamlFile | None:
    if config_file is None and not CONFIG_FILE.exists():
        return None
    return read_yaml(config_file or CONFIG_FILE)


def _secret_files() -> dict[str, dict[str, str]]:
    folder = Path(os.environ.get(f"{ENV_PREFIX}SECRETS_DIR", _SECRETS_DIR))
    found: dict[str, dict[str, str]] = {}
    for section, field in Settings.model_fields.items():
        for key in section_of(field).model_fields:
            file = folder / f"{ENV_PREFIX}{section}{_NESTED}{key}".lower()
            if not file.is_file():
                continue
            if file.stat().st_size > _SECRET_BYTES_MAX:
                raise Misconfigured(f"{file} is too large for a secret.")
            found.setdefault(section, {})[key] = file.read_text(encoding="utf-8").strip()
    return found


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        kept = merged.get(key)
        if isinstance(kept, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(kept, value)
        else:
            merged[key] = value
    return merged


def _anchored(settings: Settings, folder: Path) -> Settings:
    """Return the settings with every relative path counted from a folder."""
    sections = {}
    for name in Settings.model_fields:
        section = getattr(settings, name)
        paths = {
            key: folder / value
            for key in type(section).model_fields
            if isinstance(value := getattr(section, key), Path)
        }
        sections[name] = section.model_copy(update=paths)
    return settings.model_copy(update=sections)


if __name__ == "__main__":
    from connector.config_report import example

    sys.stdout.write(example(Settings))
