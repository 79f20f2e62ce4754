"""A wrong setting is a sentence with a file, a line and a remedy."""

from pathlib import Path

import pytest

from connector import config_report
from connector.cli.main import main
from connector.config import Settings, load_settings
from connector.errors import Misconfigured

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("L2C_SECRETS_DIR", str(tmp_path / "secrets"))


def written(text: str) -> Path:
    file = Path("config.yaml")
    file.write_text(text)
    return file


def refusal(text: str) -> Misconfigured:
    with pytest.raises(Misconfigured) as refused:
        load_settings(written(text))
    return refused.value


def test_everything_has_a_default() -> None:
    settings = load_settings()

    assert settings.store.url is None
    assert settings.store.data_dir == Path.cwd() / ".l2c"
    assert settings.lake_dir == Path.cwd() / ".l2c" / "lake"


def test_reads_the_file_of_the_current_folder() -> None:
    written("store:\n  pool_size: 12\n")

    assert load_settings().store.pool_size == 12


def test_the_environment_wins_over_secret_files_and_those_over_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written("salesforce: {client_id: file, client_secret: file, username: file}\n")
    Path("secrets").mkdir()
    Path("secrets/l2c_salesforce__client_secret").write_text("secret file\n")
    Path("secrets/l2c_salesforce__client_id").write_text("secret file\n")
    monkeypatch.setenv("L2C_SALESFORCE__CLIENT_ID", "environment")

    salesforce = load_settings().salesforce

    assert salesforce.username == "file"
    assert salesforce.client_secret is not None
    assert salesforce.client_secret.get_secret_value() == "secret file"
    assert salesforce.client_id == "environment"


def test_overrides_win_over_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2C_WEB__PORT", "9")

    assert load_settings(overrides={"web": {"port": 0}}).web.port == 0


def test_relative_paths_count_from_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "l2c.yaml").write_text("store: {data_dir: data}\nlake: {folder: /srv/lake}\n")

    settings = load_settings(Path("etc/l2c.yaml"))

    assert settings.store.data_dir == folder / "data"
    assert settings.lake_dir == Path("/srv/lake")


def test_secrets_do_not_show() -> None:
    settings = load_settings(written("salesforce:\n  client_secret: hush-hush\n"))

    assert "hush-hush" not in repr(settings)


def test_an_unknown_key_is_named_with_its_line_and_the_one_that_was_meant() -> None:
    refused = refusal("# mine\nstore:\n  pool_sise: 4\n")

    assert "config.yaml, line 3: there is no setting store.pool_sise" in refused.message
    assert refused.remedy == "Did you mean store.pool_size?"


def test_an_unknown_section_is_named_with_its_line() -> None:
    refused = refusal("\nsalesfroce:\n  client_id: x\n")

    assert "config.yaml, line 2: there is no setting salesfroce" in refused.message
    assert "salesforce" in refused.remedy


def test_a_wrong_type_is_named_with_its_line_and_what_to_write() -> None:
    refused = refusal("store:\n  durable: true\n  pool_size: many\n")

    assert "config.yaml, line 3: store.pool_size is wrong" in refused.message
    assert "store.pool_size as a whole number" in refused.remedy


def test_every_mistake_is_told_at_once() -> None:
    refused = refusal("store:\n  pool_size: 0\nweb:\n  port: door\njobs: 3\n")

    assert [line.partition(":")[0] for line in refused.message.splitlines()] == [
        "config.yaml, line 2",
        "config.yaml, line 4",
        "config.yaml, line 5",
    ]


def test_a_wrong_variable_is_named_as_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    written("web:\n  port: 80\n")
    monkeypatch.setenv("L2C_WEB__PORT", "door")

    with pytest.raises(Misconfigured, match=r"Environment variable L2C_WEB__PORT: web\.port"):
        load_settings()


def test_a_wrong_value_is_not_repeated_for_it_may_be_a_secret() -> None:
    refused = refusal("salesforce:\n  client_secret: [hush-hush]\n")

    assert "hush-hush" not in str(refused)


def test_refuses_a_file_that_is_not_there() -> None:
    with pytest.raises(Misconfigured, match=r"mine\.yaml cannot be read: No such file"):
        load_settings(Path("mine.yaml"))


def test_refuses_a_list() -> None:
    assert "line 1" in refusal("- store\n").message


def test_an_empty_file_changes_nothing() -> None:
    assert load_settings(written("# nothing yet\n")) == load_settings()


def test_the_command_line_ends_with_code_2_and_no_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    written("store:\n  pool_sise: 4\n")

    with pytest.raises(SystemExit) as ended:
        main(["--config", "config.yaml", "db", "migrate"])

    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "config.yaml, line 2: there is no setting store.pool_sise" in error
    assert "Did you mean store.pool_size?" in error
    assert "Traceback" not in error


def test_the_example_is_what_the_classes_say() -> None:
    assert (ROOT / "config.example.yaml").read_text() == config_report.example(Settings), (
        "run `make config-example`"
    )


def test_the_example_is_a_valid_file_that_changes_nothing() -> None:
    assert (
        load_settings(ROOT / "config.example.yaml").model_copy(
            update={"store": load_settings().store}
        )
        == load_settings()
    )


def test_every_setting_says_what_it_is_for() -> None:
    missing = [
        f"{section}.{key}"
        for section, field in Settings.model_fields.items()
        for key, inner in config_report.section_of(field).model_fields.items()
        if not (inner.description or "").endswith(".")
    ]

    assert missing == []
