"""What a person tells us about one telematics portal: the set-up form, its checks and its masking."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from atalaia.connectors.traffilog.login import action_url

Seconds = Annotated[float, Field(gt=0, le=3600)]
Minutes = Annotated[float, Field(gt=0, le=24 * 60)]
GUID = r"^[A-Za-z0-9-]{0,64}$"


class Sharing(StrEnum):
    """Whether others log in to the portal with our account."""

    OURS = "ours"
    SHARED = "shared"


class TraffilogSettings(BaseModel):
    """One account at the telematics upstream: its three doors, what is watched, and how patient we are.

    The defaults of the times are those that production used (contract §3.8). Errors of validation name the
    field, the kind of value it holds, and the remedy; never a secret.
    """

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={
            "groups": [
                ["API and socket", ["api_url", "app_guid", "user", "password", "socket_url", "origin"]],
                ["Portal", ["portal_url", "portal_user", "portal_password", "portal_sharing", "root_group"]],
                [
                    "What may be done",
                    ["watched", "read_only", "gsensor", "jobs_at_once", "verify_every_min", "verify_resend"],
                ],
                ["Catalogs", ["catalog_file", "scheme_ids_file", "active_schemes_file", "models_file"]],
            ]
        },
    )

    # API and socket
    api_url: str = Field(
        title="API address",
        description="Address of the JSON API, e.g. https://api.example.test/appengine_3; logins go there.",
    )
    app_guid: str = Field(
        min_length=1, pattern=GUID, title="Application GUID", description="Part of the API's address."
    )
    app_version: str = Field(
        "1",
        pattern=r"^[0-9.]{1,10}$",
        title="Application version",
        description="Part of the API's address, after the GUID.",
    )
    user: str = Field(min_length=1, title="Login name", description="The account for the API and the socket.")
    password: SecretStr = Field(title="Password", description="The password of that account.")
    socket_url: str = Field(
        title="Socket address",
        description="Address of the WebSocket server without a path, e.g. wss://ws.example.test:8182.",
    )
    socket_guid: str = Field(
        "", pattern=GUID, title="Socket GUID",
        description="Part of the socket's address. Empty = a random one for each socket.",
    )  # fmt: skip
    origin: str = Field(
        title="Origin",
        description="The Origin header of the socket: the operation screen's address, without a path.",
    )
    tls_verify: bool = Field(
        True,
        title="Check the certificate",
        description="Only matters for https and wss. Off for tests alone.",
    )
    tls_ca_file: str = Field(
        "", title="Certificate authority", description="PEM file to trust besides the machine's own ones."
    )

    # Portal
    portal_url: str = Field(
        "", title="Portal address",
        description="Address of the HTML5 portal's actions, ending in default.aspx. Empty = no portal.",
    )  # fmt: skip
    portal_start_url: str = Field(
        "", title="Portal start page",
        description="Where the first cookie comes from. Empty = /appv2/index.htm on the same host.",
    )  # fmt: skip
    portal_user: str = Field(
        "", title="Portal login name", description="An account that nobody else uses. Empty = the login name."
    )
    portal_password: SecretStr = Field(
        SecretStr(""), title="Portal password", description="Empty = the password above."
    )
    portal_language: str = Field(
        "7001", pattern=r"^\d{1,6}$", title="Portal language", description="Sent with the portal's login."
    )
    portal_sharing: Sharing = Field(
        Sharing.OURS, title="Portal account",
        description="Each login evicts the one before: say whether somebody else uses the account, too.",
    )  # fmt: skip
    portal_session_min: Minutes = Field(
        25, title="Portal session kept for", description="Minutes after which a portal session is renewed."
    )
    root_group: str = Field(
        "", pattern=r"^\d{0,12}$", title="Production root group",
        description="Id of the group under which the clients' root groups are; changing a company needs it.",
    )  # fmt: skip

    # What may be done
    watched: list[str] = Field(
        default=[], title="Watched vehicles",
        description="Ids of vehicles whose units are listened to all the time.",
    )  # fmt: skip
    read_only: bool = Field(
        False, title="Read only", description="Refuse every job that changes something upstream."
    )
    gsensor: bool = Field(
        True, title="G-sensor commands", description="Allow commands that tell a unit how it is mounted."
    )
    jobs_at_once: int = Field(
        0, ge=0, le=1000, title="Jobs at a time",
        description="So many of this connection's jobs run at a time, over all workers; 0 is no limit.",
    )  # fmt: skip

    # Catalogs
    catalog_file: str = Field(
        "", title="Clients and schemes", description="catalogs.json: clients, default schemes, profiles."
    )
    scheme_ids_file: str = Field(
        "", title="Scheme ids", description="scheme_ids.txt: client, name, scheme, parted by semicolons."
    )
    vehicle_settings_file: str = Field(
        "", title="Settings of clients", description="catalog_vehicle_settings.json: schemes per profile."
    )
    active_schemes_file: str = Field(
        "", title="Active schemes", description="active-config.json: the scheme in force, first choice."
    )
    scheme_selection_file: str = Field(
        "", title="Scheme selection", description="schemes_selection.json: the fallback of the active scheme."
    )
    models_file: str = Field(
        "", title="Vehicle models", description="catalog_vehicle_type.json: manufacturers and models."
    )
    asset_types_file: str = Field(
        "", title="Asset types", description="asset_types_active.json: models in use, as they were synced."
    )
    technicians_file: str = Field("", title="Technicians", description="technicians.json: ids and nicknames.")

    # Times of one conversation
    login_within_s: Seconds = Field(20, title="Login within", description="Seconds one login may take.")
    login_tries: int = Field(
        3, ge=1, le=10, title="Login tries", description="Logins tried in a row before giving up."
    )
    login_pause_s: Seconds = Field(
        5, title="Pause between logins", description="Seconds, times the number of the try."
    )
    handshake_within_s: Seconds = Field(
        15, title="Socket within", description="Seconds the socket's handshake may take."
    )
    answer_within_s: Seconds = Field(
        20, title="Answer within", description="Seconds until an action must be answered."
    )
    read_within_s: Seconds = Field(
        15, title="Reading within", description="Seconds until a reading of a vehicle must be answered."
    )
    ping_every_s: Seconds = Field(25, title="Ping every", description="Seconds between two WebSocket pings.")
    subscribe_every_s: Seconds = Field(
        15, title="Subscribe every", description="Seconds between two subscriptions of a watched unit."
    )
    canary_every_s: Seconds = Field(
        30, title="Canary every", description="Seconds between two harmless requests that prove the socket."
    )
    token_min: Minutes = Field(
        25, title="Login kept for", description="Minutes after which a session logs in anew, ahead of expiry."
    )

    # Times of jobs
    busy_tries: int = Field(
        8, ge=1, le=100, title="Tries while busy",
        description="Tries while another process of the client is prepared or the upstream is exhausted.",
    )  # fmt: skip
    busy_pause_s: Seconds = Field(5, title="Pause while busy", description="Seconds between two such tries.")
    exhausted_pause_s: Seconds = Field(
        30,
        title="Pause while exhausted",
        description="Seconds to wait when the upstream's pool is exhausted.",
    )
    review_polls: int = Field(
        3, ge=1, le=50, title="Looks for the process",
        description="How often the id of a prepared process is asked for before preparing it anew.",
    )  # fmt: skip
    review_every_s: Seconds = Field(
        1.5, title="Process asked every", description="Seconds between two such looks."
    )
    sb_within_min: Minutes = Field(
        12,
        title="Scheme Builder within",
        description="Minutes until a Scheme Builder must have ended, unless it still advances.",
    )
    sb_silence_s: Seconds = Field(
        90, title="Scheme Builder silence",
        description="Seconds without a unit message or a status after which a unit counts as silent.",
    )  # fmt: skip
    proof_within_s: Seconds = Field(
        180, title="Proof within",
        description="Seconds until the unit must show its new configuration key after the end.",
    )  # fmt: skip
    probe_within_s: Seconds = Field(
        45, title="Trace within", description="Seconds to look for the trace of a process in doubt."
    )
    gs_ack_within_s: Seconds = Field(
        120, title="Acknowledgement within",
        description="Seconds until the unit must acknowledge a G-sensor command.",
    )  # fmt: skip
    warmup_s: Seconds = Field(
        20, title="Pause after Scheme Builder", description="Seconds between a Scheme Builder and a snapshot."
    )
    gate_every_s: Seconds = Field(
        60, title="Gate every", description="Seconds between two looks for a fresh packet of the unit."
    )
    gate_within_min: Minutes = Field(
        10, title="Gate within", description="Minutes until the unit must have come back after its reset."
    )
    gate_fresh_s: Seconds = Field(
        120, title="Fresh packet", description="Seconds that the unit's last packet may be old."
    )
    can_attempts: int = Field(3, ge=1, le=10, title="Snapshot tries", description="Tries of a snapshot.")
    can_window_s: Seconds = Field(
        120, title="Snapshot window", description="Seconds to collect parameters in one try."
    )
    can_pause_s: Seconds = Field(
        10, title="Pause between snapshots", description="Seconds between two tries of a snapshot."
    )
    quiet_s: Seconds = Field(
        5, title="Snapshot quiet", description="Seconds without a parameter that end a snapshot."
    )
    quick_every_s: Seconds = Field(
        5, title="Quick command every", description="Seconds between two requests for a burst of parameters."
    )
    resubscribe_every_s: Seconds = Field(
        30, title="Subscribe anew every", description="Seconds, while no parameter at all came."
    )
    modules_within_s: Seconds = Field(
        90, title="Modules within", description="Seconds to wait until all modules are there."
    )
    modules_every_s: Seconds = Field(
        15, title="Modules every", description="Seconds between two readings of the modules."
    )
    approval_within_h: float = Field(
        12, gt=0, le=24 * 31, title="Approval within", description="Hours until a CAN check must be approved."
    )

    # Verification of schemes
    verify_every_min: float = Field(
        5, ge=0, le=24 * 60, title="Schemes verified every",
        description="Minutes between two looks whether finished installations have their scheme. 0 = never.",
    )  # fmt: skip
    verify_resend: bool = Field(
        False, title="Send schemes again",
        description="Write a scheme that the portal shows otherwise again, once for each installation.",
    )  # fmt: skip

    # Times of the portal
    portal_within_s: Seconds = Field(
        30, title="Portal answers within", description="Seconds a portal action may take."
    )
    portal_login_within_s: Seconds = Field(
        12, title="Portal login within", description="Seconds a portal login may take."
    )
    asset_types_within_s: Seconds = Field(
        300, title="Asset types within", description="Seconds the list of asset types may take."
    )

    @field_validator("api_url", "portal_url", "portal_start_url")
    @classmethod
    def _check_http(cls, value: str) -> str:
        return _address(value, ("http", "https"), "https://api.example.test/appengine_3") if value else value

    @field_validator("socket_url")
    @classmethod
    def _check_socket(cls, value: str) -> str:
        return _bare(_address(value, ("ws", "wss"), "wss://ws.example.test:8182"))

    @field_validator("origin")
    @classmethod
    def _check_origin(cls, value: str) -> str:
        return _bare(_address(value, ("http", "https"), "https://operation.example.test"))

    @field_validator("watched")
    @classmethod
    def _check_watched(cls, value: list[str]) -> list[str]:
        for one in value:
            if not re.fullmatch(r"\d{1,12}", one):
                raise ValueError("a vehicle is watched by its id, which has digits only. Correct the list.")
        return list(dict.fromkeys(value))

    @model_validator(mode="after")
    def _check_portal(self) -> TraffilogSettings:
        if self.portal_user and self.portal_user != self.user and not self.portal_secret:
            raise ValueError("portal_password is empty, but the portal has a login name of its own. Give it.")
        return self

    # What follows from it

    @property
    def login_url(self) -> str:
        """Answer where logins are posted to (surface A)."""
        return action_url(self.api_url, self.app_guid, self.app_version)

    @property
    def portal_start(self) -> str:
        """Answer where the portal's first cookie comes from, "" without a portal."""
        if self.portal_start_url or not self.portal_url:
            return self.portal_start_url
        return f"{self.portal_origin}/appv2/index.htm"

    @property
    def portal_origin(self) -> str:
        parts = _split(self.portal_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def portal_login(self) -> str:
        return self.portal_user or self.user

    @property
    def portal_secret(self) -> str:
        """Answer the portal's password."""
        own = self.portal_password.get_secret_value()
        shared = self.portal_user in ("", self.user)
        return own or (self.password.get_secret_value() if shared else "")

    @property
    def verify_every_s(self) -> float:
        """Answer the seconds between two verifications of schemes; 0 where there is no portal to ask."""
        return self.verify_every_min * 60 if self.portal_url else 0.0

    @property
    def catalogs(self) -> dict[str, Path]:
        """Answer the catalog files that are named, by the setting's name without `_file`."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name.endswith("_file")}
        return {
            name.removesuffix("_file"): Path(path)
            for name, path in given.items()
            if path and name != "tls_ca_file"
        }


def place_of(url: str) -> tuple[str, int, bool]:
    """Answer host, port and whether TLS is spoken, of an address that was checked."""
    parts = _split(url)
    tls = parts.scheme in ("https", "wss")
    return parts.hostname or "", parts.port or (443 if tls else 80), tls


def _address(value: str, schemes: tuple[str, ...], like: str) -> str:
    parts = _split(value)
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"that is not an address that begins with {schemes[-1]}://. Write it like {like}.")
    if parts.username or parts.password:
        raise ValueError(
            "the address holds a user or password. Leave them out: they have fields of their own."
        )
    if parts.query or parts.fragment:
        raise ValueError("the address holds more than a path. Leave out what follows `?` or `#`.")
    return value.rstrip("/")


def _bare(value: str) -> str:
    if _split(value).path.strip("/"):
        raise ValueError("the address holds a path. Leave it out.")
    return value


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # reading it checks it
    except ValueError:
        raise ValueError("the address has a port or host that cannot be read.") from None
    return parts
