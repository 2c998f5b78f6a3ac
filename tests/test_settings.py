"""Settings come from three places, and what is wrong with them is said with field, kind and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from atalaia.errors import ConfigError
from atalaia.settings import PREFIX, Settings, load_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "atalaia.toml").write_text('port = 1\nhost = "file"\nworker_name = "file"\n')
    monkeypatch.setenv("ATALAIA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ATALAIA_PORT", "2")
    monkeypatch.setenv("ATALAIA_HOST", "env")
    settings = load_settings(host="given", port=None)
    assert (settings.host, settings.port, settings.worker_name) == ("given", 2, "file")
    assert settings.key_path == tmp_path / "secret.key"


def test_lists_are_written_with_commas_in_the_environment_and_as_lists_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.toml"
    file.write_text('allow_private_targets = ["10.0.0.0/8", "mq.local:5672"]\n')
    monkeypatch.setenv("ATALAIA_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")
    settings = load_settings(file)
    assert settings.trusted_proxies == ("127.0.0.1", "10.0.0.0/8")
    assert settings.allow_private_targets == ("10.0.0.0/8", "mq.local:5672")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('port = "canary"', "port holds a str"),
        ("zone = 7", "zone holds a int"),
        ('zone = "canary/City"', "America/Sao_Paulo"),
        ('public_url = "canary.example"', "https://atalaia.example.com"),
        ('trusted_proxies = ["canary"]', "trusted_proxies"),
        ("keep_heard_days = 0", "ATALAIA_KEEP_HEARD_DAYS"),
        ("prot = 8000", "prot: there is no such setting"),
        ("port = ", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy_and_never_its_value(
    tmp_path: Path, text: str, told: str
) -> None:
    (tmp_path / "atalaia.toml").write_text(text)
    with pytest.raises(ConfigError) as wrong:
        load_settings(data_dir=tmp_path)
    assert told in str(wrong.value)
    assert "canary" not in str(wrong.value).replace(str(tmp_path), "")


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path / "none.toml")


def test_secrets_do_not_show_themselves(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, database_url="postgresql://u:canary@h/d")
    assert "canary" not in repr(settings)
    assert settings.secret_values() == ["postgresql://u:canary@h/d", "canary"]


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
