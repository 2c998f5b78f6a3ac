"""Every setting of the hub: from the command line, the environment (`ATALAIA_…`) or one TOML file.

Connections and subscriptions are not here: they live in the database and are set up on the screen.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from atalaia.errors import ConfigError

PREFIX = "ATALAIA_"
FILE_NAME = "atalaia.toml"

# A list in an environment variable is written with commas.
Words = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """What one process is told at its start. The docs list these fields with their descriptions."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    data_dir: Path = Field(
        Path("data"), description="Folder for the database, the key file and the settings file."
    )
    database_url: SecretStr = Field(
        SecretStr(""),
        description="PostgreSQL for several workers: postgresql+asyncpg://user:password@host/name. "
        "Empty: SQLite in the data folder.",
    )
    host: str = Field("127.0.0.1", description="Address on which the web server listens.")
    port: int = Field(
        8000, ge=0, le=65_535, description="Port on which the web server listens; 0 takes a free one."
    )
    public_url: str = Field(
        "", description="Address under which people reach the hub, e.g. https://atalaia.example.com. "
        "With https, cookies are marked Secure and browsers are told to stay on https.",
    )  # fmt: skip
    trusted_proxies: Words = Field(
        (),
        description="Addresses or networks of reverse proxies whose X-Forwarded-For and "
        "X-Forwarded-Proto are believed.",
    )
    worker_name: str = Field(
        "", description="Name of this process on the system screen. Empty: the host's name."
    )

    language: Literal["pt_BR", "en"] = Field(
        "pt_BR", description="Language for people who have not chosen one."
    )
    zone: str = Field("America/Sao_Paulo", description="Time zone for people who have not chosen one.")

    key_file: Path | None = Field(
        None,
        description="File with the keys that protect stored secrets. Empty: secret.key in the data folder.",
    )
    keys: SecretStr = Field(
        SecretStr(""),
        description="The keys themselves, newest first, separated by commas; instead of the key file.",
    )
    allow_private_targets: Words = Field(
        (),
        description="Private networks (CIDR) or host:port pairs to which webhooks may be sent. All "
        "others are refused.",
    )

    session_hours: int = Field(24 * 14, ge=1, description="Hours after which an unused sign-in ends.")
    link_minutes: int = Field(60, ge=1, description="Minutes for which a one-time sign-in link works.")
    invite_hours: int = Field(72, ge=1, description="Hours for which an invitation works.")
    password_chars_min: int = Field(12, ge=8, description="Least length of a password.")
    sign_ins_per_minute: int = Field(
        10, ge=1, description="Failed sign-ins allowed per minute, per account and per address."
    )
    requests_per_minute: int = Field(
        1_200, ge=1, description="API requests allowed per minute and token or person."
    )

    body_bytes_max: int = Field(1_048_576, ge=1024, description="Largest request body that the API takes.")
    intake_bytes_max: int = Field(
        4_194_304, ge=1024, description="Largest request body that the event intake takes."
    )
    intake_waiting_max: int = Field(
        10_000,
        ge=1,
        description="Events that may wait to be written; beyond it senders are told to come back (503).",
    )
    sessions_per_beat: int = Field(
        20, ge=1, le=10_000,
        description="Connections that a worker begins to keep at most in each beat of 2.5 s, so that a start "
        "or a take-over is no storm for their upstreams. 5,000 connections take ten minutes by 20.",
    )  # fmt: skip
    live_waiting_max: int = Field(
        500, ge=10, description="Messages that may wait for one slow browser before it reloads."
    )

    keep_heard_days: int = Field(30, ge=1, description="Days for which heard events are kept.")
    keep_facts_days: int = Field(365, ge=1, description="Days for which facts are kept.")
    keep_dedupe_days: int = Field(7, ge=1, description="Days for which a repeated event is recognised.")
    keep_counts_days: int = Field(90, ge=1, description="Days for which event counts per minute are kept.")
    keep_deliveries_days: int = Field(
        30, ge=1, description="Days for which settled deliveries and their attempts are kept."
    )
    keep_calls_days: int = Field(730, ge=1, description="Days for which calls are kept.")
    keep_chats_days: int = Field(
        730, ge=1, description="Days for which messages are kept, by their own time, with their reactions."
    )
    keep_files_days: int = Field(
        365, ge=0,
        description="Days for which attachments of messages are kept on the disk, from the day they came; "
        "the message stays, and says so. 0: as long as the message.",
    )  # fmt: skip
    keep_files_bytes_max: int = Field(
        0, ge=0,
        description="Most bytes that attachments may take on the disk: beyond it the oldest go first, none "
        "of the last day. 0: no limit.",
    )  # fmt: skip
    keep_jobs_days: int = Field(
        365, ge=1, description="Days for which ended jobs are kept, with their steps and frames."
    )
    keep_gaps_days: int = Field(365, ge=1, description="Days for which closed gaps are kept.")
    keep_vehicles_days: int = Field(
        90, ge=1, description="Days for which a vehicle's past values, snapshots and processes are kept."
    )

    chats_reopen: Literal["none", "closed", "ignored", "both"] = Field(
        "closed",
        description="Which conversations a new message opens again. It counts when they are closed or "
        "ignored: a change later does not touch those.",
    )
    chats_fetch: Words = Field(
        ("image", "video", "audio", "sticker", "document"),
        description="Attachments that are fetched as they come: image, video, audio, sticker, document. The "
        "others are fetched when somebody asks.",
    )
    chats_file_bytes_max: int = Field(
        67_108_864, ge=65_536, description="Largest attachment of a message that is kept."
    )

    old_connection: str = Field(
        "",
        description="Id or name of the telematics connection that old clients mean. Empty: the only one.",
    )
    old_worker_key: SecretStr = Field(
        SecretStr(""),
        description="Key that the old workers send as `x-worker-key`. Empty: none is accepted.",
    )
    old_admin_key: SecretStr = Field(
        SecretStr(""),
        description="Key for `x-admin-key` (once `SESSION_TOKEN_ADMIN_KEY`). Empty: none is accepted.",
    )
    old_open_networks: Words = Field(
        (),
        description="Private networks (CIDR) from which old clients need no key where the old software "
        "asked for none. Empty: everybody needs one.",
    )
    old_origins: Words = Field(
        (),
        description="Origins, e.g. https://app.example.com, whose pages may call the old clients' addresses.",
    )
    old_outside_types: Words = Field(
        (),
        description="Types of jobs that workers outside claim at /api/jobs/next. All others are done here.",
    )
    old_lease_s: int = Field(
        600, ge=30, le=3600,
        description="Seconds for which a worker outside has a job; telling progress renews them.",
    )  # fmt: skip
    old_token_shown: bool = Field(
        False,
        description="Answer the session token of workers outside in the clear to who has the admin key.",
    )
    old_gateway_secret: SecretStr = Field(
        SecretStr(""),
        description="Secret that callers of the old WhatsApp gateway's addresses, and gateways that deliver "
        "here, send as `X-Gateway-Secret`. Empty: none is accepted.",
    )
    alerts_open_after_s: int = Field(
        900, ge=60, le=86_400,
        description="Seconds after which a connection that is not heard, or a gap left open, is an alert.",
    )  # fmt: skip
    alerts_calm_s: int = Field(
        120, ge=0, le=86_400,
        description="Seconds for which an alert must be gone before it is over; back before that, it is the "
        "same alert, and nobody is told anew.",
    )  # fmt: skip
    alerts_flap_times: int = Field(
        3, ge=2, le=20, description="An alert that came so often within `alerts_flap_s` comes and goes."
    )
    alerts_flap_s: int = Field(
        900, ge=60, le=86_400,
        description="See `alerts_flap_times`; what comes and goes is over after so many seconds of peace.",
    )  # fmt: skip
    snapshot_repository: SecretStr = Field(
        SecretStr(""),
        description="Git repository, a path or an address, to which `bin/atalaia snapshot --push` and the "
        "schedule push the redacted state. Empty: none.",
    )
    snapshot_branch: str = Field(
        "main", pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$", description="Branch of that repository."
    )
    snapshot_every_hours: float = Field(
        0, ge=0, le=24 * 31, description="Hours between two snapshots that are pushed. 0: only by command."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least weight of a log line."
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="Shape of log lines; auto: text on a terminal, JSON elsewhere."
    )
    metrics_open: bool = Field(
        False,
        description="Answer /metrics without a token to everybody. Otherwise: this machine, or a token "
        "with system:read.",
    )
    dev: bool = Field(
        False, description="For people who change Atalaia: reload templates, explain errors in answers."
    )

    @field_validator(
        "trusted_proxies", "allow_private_targets", "old_open_networks", "old_origins", "old_outside_types",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(word for word in value.replace(",", " ").split() if word)
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            for word in value:
                ip_network(word, strict=False)
        except ValueError:
            raise ValueError("not addresses or networks; write them like 127.0.0.1 or 10.0.0.0/8") from None
        return value

    @field_validator("old_open_networks")
    @classmethod
    def _private(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            networks = [ip_network(word, strict=False) for word in value]
        except ValueError:
            raise ValueError("not networks; write them like 10.0.0.0/8") from None
        if not all(one.is_private for one in networks):
            raise ValueError("only private networks can be open; write them like 10.0.0.0/8")
        return value

    @field_validator("old_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            parts = urlsplit(word)
            if (
                parts.scheme not in ("http", "https")
                or not parts.netloc
                or word != f"{parts.scheme}://{parts.netloc}"
            ):
                raise ValueError("not origins; write them like https://app.example.com, without a path")
        return value

    @field_validator("zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("not a time zone; write one like America/Sao_Paulo") from None
        return value

    @field_validator("public_url")
    @classmethod
    def _url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("not an address; write one like https://atalaia.example.com")
        return value.rstrip("/")

    @property
    def key_path(self) -> Path:
        """Where the key file is."""
        return self.key_file or self.data_dir / "secret.key"

    @property
    def https(self) -> bool:
        """Whether people reach us by https."""
        return self.public_url.startswith("https://")

    def secret_values(self) -> list[str]:
        """Answer the secrets among the settings, for the redactor to learn."""
        values: list[str] = []
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr) and value.get_secret_value():
                values.append(value.get_secret_value())
        urls = (self.database_url, self.snapshot_repository)
        return [*values, *filter(None, (_password_of(url.get_secret_value()) for url in urls))]

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, _File(settings_cls))


class _File(PydanticBaseSettingsSource):
    """The TOML file that `load_settings` read; weakest of the three sources."""

    content: Mapping[str, Any] = {}

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self.content.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return dict(self.content)


def load_settings(config: Path | None = None, **given: Any) -> Settings:
    """Answer the settings; what is `given` (the command line) wins over the environment, that over the file.

    config: the TOML file; None = `atalaia.toml` in the data folder, if there is one.
    Errors: `ConfigError` that names each wrong field, the kind of its value and the remedy, never the value.
    """
    given = {name: value for name, value in given.items() if value is not None}
    try:
        _File.content = {}
        if config is None:
            first = Settings.model_construct(**given).data_dir if "data_dir" in given else _data_dir()
            config = Path(first) / FILE_NAME
            content = _read_file(config) if config.exists() else {}
        else:
            content = _read_file(config)
        _File.content = content
        return Settings(**given)
    except ValidationError as error:
        raise ConfigError(_explain(error, config)) from None
    finally:
        _File.content = {}


def _password_of(url: str) -> str:
    """Answer the password inside of an address: drivers repeat it alone."""
    try:
        return unquote(urlsplit(url).password or "")
    except ValueError:
        return ""


def _data_dir() -> Path:
    import os  # read here only: every other variable goes through pydantic

    return Path(os.environ.get(f"{PREFIX}DATA_DIR") or "data")


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"The settings file {path} is not TOML: {error}.") from None


def _explain(error: ValidationError, config: Path | None) -> str:
    """Name each wrong field, what kind of value it holds and what to do; the value stays unsaid."""
    lines: list[str] = []
    for one in error.errors():
        name = ".".join(str(part) for part in one["loc"])
        field = Settings.model_fields.get(name)
        if field is None:
            lines.append(f"{name}: there is no such setting. Remove it from {config}.")
            continue
        kind = type(one["input"]).__name__
        said = one["msg"].removeprefix("Value error, ")
        lines.append(
            f"{name} holds a {kind} that does not fit: {said}. Set {PREFIX}{name.upper()} or {name} in "
            f"{config}."
        )
    return "\n".join(lines)
