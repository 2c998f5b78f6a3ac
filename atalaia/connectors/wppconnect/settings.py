"""What a person tells us about one WhatsApp session: the set-up form, its checks and its masking."""

from __future__ import annotations

import secrets
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from atalaia.connectors.wppconnect.envelope import session_key
from atalaia.connectors.wppconnect.wids import PHONE_DIGITS

Seconds = Annotated[float, Field(gt=0, le=3600)]
Minutes = Annotated[float, Field(gt=0, le=24 * 60)]
SESSION_NAME = r"^[^/\\?#]{1,100}$"


def _new_token() -> SecretStr:
    return SecretStr(secrets.token_urlsafe(24))


class WppconnectSettings(BaseModel):
    """One WhatsApp session and the doors to it: the wppconnect-server itself, a gateway before it, or both.

    Only the server lets its message store be read; with the gateway alone a gap cannot be reconciled.
    The times are those of the contract (sections 1.3, 2.4, 5). Errors of validation name the field, the kind
    of value it holds, and the remedy; never a secret.
    """

    model_config = ConfigDict(
        extra="forbid",
        str_strip_whitespace=True,
        json_schema_extra={
            "groups": [
                ["Session", ["session_name", "aliases", "phone"]],
                [
                    "WPPConnect server",
                    ["server_url", "secret_key", "hub_url", "browser_url", "browser_token"],
                ],
                ["Gateway", ["gateway_url", "gateway_secret", "proxy_user", "proxy_password"]],
            ]
        },
    )

    # Session
    session_name: str = Field(
        pattern=SESSION_NAME, title="Session",
        description="Exactly as the server or gateway spells it: capitals and blanks matter there.",
    )  # fmt: skip
    aliases: list[str] = Field(
        default=[], title="Other names",
        description="Names under which its events come; capitals and blanks do not matter here.",
    )  # fmt: skip
    phone: str = Field(
        "", title="Expected number",
        description="Digits with the country code. Another number after pairing is an alarm. Empty = any.",
    )  # fmt: skip
    zone: str = Field(
        "America/Sao_Paulo", title="Time zone", description="Of the account's week, e.g. America/Sao_Paulo."
    )
    device_name: str = Field(
        "Atalaia", max_length=60, title="Device name", description="Shown on the phone under linked devices."
    )

    # WPPConnect server
    server_url: str = Field(
        "", title="Server address",
        description="E.g. http://wppconnect:21465, in a private network only: it must not be open to others.",
    )  # fmt: skip
    secret_key: SecretStr = Field(
        SecretStr(""), title="Secret key", description="The server's SECRET_KEY; tokens are made with it."
    )
    hub_url: str = Field(
        "", title="This hub, as the server reaches it",
        description="Where the server sends its webhooks, e.g. http://atalaia:8321. Empty = set elsewhere.",
    )  # fmt: skip
    hook_token: SecretStr = Field(
        default_factory=_new_token, min_length=16, title="Webhook token",
        description="Part of this session's webhook address; made for you.",
    )  # fmt: skip
    browser_url: str = Field(
        "", title="Browser agent",
        description="An agent beside the server that can end a leftover browser. Empty = a person does.",
    )  # fmt: skip
    browser_token: SecretStr = Field(
        SecretStr(""), title="Browser agent token", description="Sent to the agent as a bearer token."
    )

    # Gateway
    gateway_url: str = Field(
        "", title="Gateway address", description="E.g. https://gateway.example.test:8443. Empty = none."
    )
    gateway_secret: SecretStr = Field(
        SecretStr(""), title="Gateway secret", description="Sent and expected as X-Gateway-Secret."
    )
    proxy_user: str = Field(
        "", title="Proxy login", description="Of HTTP Basic auth that a proxy before the gateway asks for."
    )
    proxy_password: SecretStr = Field(SecretStr(""), title="Proxy password", description="Of that login.")
    tls_verify: bool = Field(
        True, title="Check the certificate", description="Only matters for https. Off for tests alone."
    )

    # Proofs
    canary_to: str = Field(
        "", title="Canary to",
        description="Write a short message now and then, as a proof: own = to the session's own number, or "
        "the number of another session of this hub. Empty = none.",
    )  # fmt: skip
    canary_min: Minutes = Field(60, title="Canary every", description="Minutes between two canaries.")
    probe_every_s: Seconds = Field(30, title="Probe every", description="Seconds between two looks.")
    store_every_s: Seconds = Field(
        300, title="Compare every",
        description="Seconds between two comparisons of the page's chats with what was heard.",
    )  # fmt: skip
    behind_s: Seconds = Field(
        120, title="Behind after",
        description="Seconds that the page may know a message before its webhook counts as missing.",
    )  # fmt: skip
    reconcile_min: Minutes = Field(
        30, title="Reconcile every", description="Minutes between two full comparisons without a gap."
    )
    starting_within_s: Seconds = Field(
        90, title="Starting within", description="Seconds after which a session that starts counts as stuck."
    )

    # Times of one call
    connect_within_s: Seconds = Field(10, title="Connect within", description="Seconds to connect.")
    answer_within_s: Seconds = Field(30, title="Answer within", description="Seconds a call may take.")
    check_within_s: Seconds = Field(
        10,
        title="Check within",
        description="Seconds the check of the page may take; a crashed page never answers.",
    )
    list_within_s: Seconds = Field(90, title="Lists within", description="Seconds a list may take.")
    media_within_s: Seconds = Field(120, title="Media within", description="Seconds a file may take.")

    @property
    def names(self) -> frozenset[str]:
        """All names of this session, in the form in which equal ones are equal."""
        return frozenset(session_key(name) for name in (self.session_name, *self.aliases))

    def hook_url(self, connection: str) -> str:
        """Answer where the server sends this session's webhooks: the address itself says which it is."""
        token = self.hook_token.get_secret_value()
        return f"{self.hub_url}/hooks/{connection}/{token}" if self.hub_url else ""

    @field_validator("server_url", "gateway_url", "hub_url", "browser_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an address; give http:// or https://, a host and its port")
        if parts.username or parts.password:
            raise ValueError("holds a login; put it into the fields for it")
        return value.rstrip("/")

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("not a time zone; give a name like America/Sao_Paulo") from None
        return value

    @field_validator("canary_to")
    @classmethod
    def _is_ours(cls, value: str) -> str:
        return value.lower() if value.lower() == "own" else cls._is_phone(value)

    @field_validator("phone")
    @classmethod
    def _is_phone(cls, value: str) -> str:
        digits = value.lstrip("+").replace(" ", "").replace("-", "")
        if digits and not PHONE_DIGITS.fullmatch(digits):
            raise ValueError(
                "not a phone number; give 7 to 15 digits with the country code, e.g. 5511955500101"
            )
        return digits

    @model_validator(mode="after")
    def _has_a_door(self) -> WppconnectSettings:
        if not self.server_url and not self.gateway_url:
            raise ValueError("no way to the session: give the server's address, the gateway's, or both")
        if self.server_url and not self.secret_key.get_secret_value():
            raise ValueError("secret_key is empty; give the server's SECRET_KEY")
        if self.gateway_url and not self.gateway_secret.get_secret_value():
            raise ValueError("gateway_secret is empty; give the gateway's shared secret")
        return self
