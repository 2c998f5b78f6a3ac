"""What a person tells us about one Asterisk: the set-up form, its checks and its masking come from here."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, cast
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from atalaia.connectors.asterisk.directory import Rules
from atalaia.connectors.asterisk.protocol import Times
from atalaia.connectors.asterisk.sources import Sources
from atalaia.connectors.asterisk.textfiles import MQSERVERS

Seconds = Annotated[float, Field(gt=0, le=3600)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Source(StrEnum):
    """Where the clients, endpoints and ring groups are written down."""

    TEXT = "text"
    DATABASE = "database"
    MIXED = "mixed"


class AsteriskSettings(BaseModel):
    """One Asterisk server, its configuration, and how closely it is watched.

    Errors of validation name the field, the kind of value it holds, and the remedy; never a secret.
    """

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        # How the set-up form is laid out; what is not named here is folded away at its end.
        json_schema_extra={
            "groups": [
                ["Reaching it", ["url", "prefix", "user", "password", "server"]],
                ["Its configuration", ["source", "etc_folder", "database_url"]],
                ["Recordings", ["recordings_folder", "audio_servers"]],
            ]
        },
    )

    # Reaching it
    url: str = Field(
        "http://127.0.0.1:8088",
        title="Address",
        description="Address of Asterisk's HTTP server, without a path.",
    )
    prefix: str = Field(
        "", title="Prefix", description="The `prefix` of http.conf. Empty when http.conf has none."
    )
    user: str = Field(min_length=1, title="ARI user", description="A section of ari.conf with `type = user`.")
    password: SecretStr = Field(title="ARI password", description="The `password` of that section.")
    server: str = Field(
        title="Server name",
        description="Short name of this server, e.g. voip1: part of audio addresses and messages.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$",
    )
    app_prefix: str = Field(
        "atalaia",
        title="Application name",
        description="How the name of our Stasis application begins; server and a fresh suffix follow.",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$",
    )
    ami_host: str = Field("", title="AMI host", description="Empty = the host of the address.")
    ami_port: Port | None = Field(
        None, title="AMI port", description="Usually 5038; its banner shows that Asterisk lives."
    )
    tls_verify: bool = Field(
        True, title="Check the certificate", description="Only matters for https. Switch off for tests alone."
    )
    tls_ca_file: str = Field(
        "", title="Certificate authority", description="PEM file to trust besides the machine's own ones."
    )

    # Its configuration
    source: Source = Field(
        Source.TEXT,
        title="Configuration",
        description="Text files, database tables, or both (the database wins).",
    )
    etc_folder: str = Field(
        "", title="Configuration folder", description="Where the text files are, e.g. /etc/asterisk."
    )
    clients_file: str = Field("", title="Clients file", description="Empty = __CLIENTES__.DEF in the folder.")
    endpoints_file: str = Field(
        "", title="Endpoints file", description="Empty = endpoints_pjsip.def in the folder."
    )
    ringgroups_file: str = Field(
        "", title="Ring groups file", description="Empty = ringgroups.def in the folder."
    )
    mqservers_file: str = Field(
        "", title="RabbitMQ servers file", description="Empty = __MQSERVERS__.DEF in the folder."
    )
    database_url: SecretStr = Field(
        SecretStr(""),
        title="Database address",
        description="e.g. mysql+pymysql://user:password@host/asterisk",
    )
    ia_numbers: list[str] = Field(
        default=["94"], title="IA numbers", description="Extensions that the dialplan itself answers (IA)."
    )
    number_plan: dict[str, str] = Field(
        default={"1": "apto", "2": "ring-member", "3": "unidade", "7": "apto", "8": "ring-group", "9": "ia"},
        title="Number plan",
        description="Type by the fourth digit, for seven-digit numbers of a client that no file lists.",
    )

    # Recordings
    recordings_folder: str = Field(
        "", title="Recordings folder", description="Asterisk's monitor folder, as seen from here."
    )
    recordings_back_h: float = Field(
        24, gt=0, le=24 * 31, title="Recordings read back",
        description="After a connect the files changed within so many hours are read, newest first.",
    )  # fmt: skip
    audio_servers: list[str] = Field(
        default=["audio"], min_length=1, title="Audio servers", description="Hosts that serve the recordings."
    )
    audio_url: str = Field(
        "http://{audio}/{server}/{name}.mp3",
        title="Audio address",
        description="How a recording's address is made of {audio}, {server} and {name}.",
    )
    push_expires_s: int = Field(
        15,
        ge=1,
        le=600,
        title="Push expires",
        description="Seconds for which waking a smartphone makes sense.",
    )
    callnumber_from: int = Field(
        1,
        ge=0,
        title="First call number",
        description="Where the count of calls begins when this server is new here.",
    )

    # Watching it
    ping_every_s: Seconds = Field(5, title="Ping every", description="Seconds between two WebSocket pings.")
    pong_within_s: Seconds = Field(
        5, title="Pong within", description="Seconds without a pong: the socket is dead."
    )
    canary_every_s: Seconds = Field(
        30,
        title="Canary every",
        description="Seconds between two events that we send through Asterisk to ourselves.",
    )
    canary_quiet_s: Seconds = Field(
        6,
        title="Canary in silence",
        description="Seconds without any event after which the canary comes earlier.",
    )
    canary_within_s: Seconds = Field(
        2, title="Canary within", description="Seconds until the canary must be back."
    )
    app_check_every_s: Seconds = Field(
        10,
        title="Application check every",
        description="Seconds between two looks at our application in Asterisk.",
    )
    ami_every_s: Seconds = Field(
        30, title="AMI check every", description="Seconds between two looks at the AMI banner."
    )
    answer_within_s: Seconds = Field(
        5,
        title="Answer within",
        description="Seconds that a request may take before Asterisk counts as hung.",
    )
    memory_mib_max: float = Field(
        64, gt=0, le=4096, title="Events kept in memory",
        description="MiB of events that may wait for the database; beyond it hearing ends with a gap.",
    )  # fmt: skip
    frame_mib_max: float = Field(
        16, gt=0, le=256, title="Largest event",
        description="MiB of one event that are kept; of a larger one its start, size and hash.",
    )  # fmt: skip

    # What consumers get
    mq_exchange: str = Field("calls", title="Exchange", description="Topic exchange in each client's vhost.")
    mq_queue: str = Field(
        "calls", title="Queue", description="Queue in each client's vhost, bound to the exchange."
    )
    event_codes: dict[str, str] = Field(
        default={"received-call": "8000", "push": "8009", "endpoint-status": "8013"},
        title="Event codes",
        description="The event_code of each kind of message.",
    )

    @model_validator(mode="before")
    @classmethod
    def _take_path(cls, values: Any) -> Any:
        """Accept what people copy: `http://host:8088/asterisk/ari` is an address and a prefix."""
        if not isinstance(values, dict):
            return values
        given = cast("dict[str, Any]", values)
        url = given.get("url")
        if not isinstance(url, str) or given.get("prefix"):
            return given
        scheme, separator, rest = url.strip().partition("://")
        host, _, path = rest.partition("/")
        path = "" if path.strip("/") == "ari" else path.rstrip("/").removesuffix("/ari")
        return {**given, "url": f"{scheme}{separator}{host}", "prefix": path} if "?" not in path else given

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        parts = _split(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{_kind(value)} is not an address. Write http://host:8088 (or https://).")
        if parts.username or parts.password:
            raise ValueError(
                "the address holds a user or password. Leave them out: they have fields of their own."
            )
        if parts.query or parts.fragment or parts.path.strip("/"):
            raise ValueError(
                "the address holds a path besides the prefix. Write only http://host:8088; what http.conf "
                "calls `prefix` goes into the field “prefix”, and /ari is added by itself."
            )
        return value.rstrip("/")

    @field_validator("prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        plain = value.strip("/")
        if plain and not re.fullmatch(r"[A-Za-z0-9._~/-]+", plain):
            raise ValueError(
                "the prefix may hold letters, digits and . _ ~ - / only. Copy it from http.conf."
            )
        return plain

    @field_validator("audio_url")
    @classmethod
    def _check_audio_url(cls, value: str) -> str:
        try:
            value.format(audio="a", server="s", name="n")
        except (KeyError, IndexError, ValueError):
            raise ValueError("only {audio}, {server} and {name} may stand in braces.") from None
        return value

    @model_validator(mode="after")
    def _check_source(self) -> AsteriskSettings:
        if self.source is not Source.TEXT and not self.database_url.get_secret_value():
            raise ValueError(
                f"database_url is empty, but “{self.source}” needs it. Give the address of the database, "
                "or choose “text”."
            )
        return self

    # What follows from it

    @property
    def host(self) -> str:
        return _split(self.url).hostname or ""

    @property
    def port(self) -> int:
        parts = _split(self.url)
        return parts.port or (443 if parts.scheme == "https" else 8088)

    @property
    def where(self) -> str:
        """Answer `host:port`, for sentences."""
        return f"{self.host}:{self.port}"

    @property
    def ari(self) -> str:
        """Answer the address below which ARI answers, e.g. `http://host:8088/asterisk/ari`."""
        return self.ari_with(self.prefix)

    def ari_with(self, prefix: str) -> str:
        """Answer the same for another prefix: the set-up check tries the usual ones."""
        scheme = _split(self.url).scheme
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}{'/' + prefix if prefix else ''}/ari"

    @property
    def sources(self) -> Sources:
        """Answer where the configuration is read from."""
        text = self.source is not Source.DATABASE
        return Sources(
            etc=_path(self.etc_folder if text else ""),
            clients=_path(self.clients_file if text else ""),
            endpoints=_path(self.endpoints_file if text else ""),
            ring_groups=_path(self.ringgroups_file if text else ""),
            mq_servers=_path(self.mqservers_file)
            or (Path(self.etc_folder) / MQSERVERS if self.etc_folder else None),
            database_url="" if self.source is Source.TEXT else self.database_url.get_secret_value(),
        )

    @property
    def rules(self) -> Rules:
        """Answer what the interpretation of this server's events needs to know besides its configuration."""
        return Rules(
            server=self.server,
            ia_numbers=tuple(self.ia_numbers),
            number_plan=dict(self.number_plan),
            audio_servers=tuple(self.audio_servers),
            url_rule=self.audio_url,
            push_expires_s=self.push_expires_s,
            callnumber_from=self.callnumber_from,
        )

    @property
    def times(self) -> Times:
        """Answer how closely the socket is watched."""
        return Times(
            self.ping_every_s,
            self.pong_within_s,
            self.canary_every_s,
            self.canary_quiet_s,
            self.canary_within_s,
            self.app_check_every_s,
            self.ami_every_s,
        )

    @property
    def ami(self) -> tuple[str, int] | None:
        return (self.ami_host or self.host, self.ami_port) if self.ami_port else None


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it checks it
    except ValueError:
        raise ValueError(
            "the address has a port or host that cannot be read. Write http://host:8088."
        ) from None
    return parts


def _kind(value: str) -> str:
    return "an empty value" if not value else "a text without http://"


def _path(name: str) -> Path | None:
    return Path(name) if name else None
