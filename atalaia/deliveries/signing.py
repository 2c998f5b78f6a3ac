"""Standard Webhooks: how a consumer knows that a message is ours and fresh."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache

from standardwebhooks import Webhook

from atalaia.errors import ConfigError, Rejected

PREFIX = "whsec_"
TOLERANCE_S = 300
_BYTES_LEAST, _BYTES_MOST = 24, 64  # what the specification asks of a secret


def new_secret(entropy: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """Answer a fresh secret `whsec_<base64 of 32 bytes>`. entropy: the machine's, for nobody may guess it."""
    return PREFIX + base64.b64encode(entropy(32)).decode()


def check_secret(secret: str) -> str:
    """Answer the secret when it may be used. Errors: `ConfigError` with the remedy, without the secret."""
    try:
        raw = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(
            "secrets.signing is not base64. Write whsec_ and the base64 of 24 to 64 random bytes."
        ) from None
    if not secret.startswith(PREFIX) or not _BYTES_LEAST <= len(raw) <= _BYTES_MOST:
        raise ConfigError(
            f"secrets.signing holds {len(raw)} bytes. Write whsec_ and the base64 of 24 to 64 random bytes."
        )
    return secret


def sign(
    signing: Iterable[tuple[str, int | None]], message_id: str, now_ms: int, body: bytes
) -> dict[str, str]:
    """Answer the three headers. signing: secrets, each valid until a Unix ms, None = the current one.

    While an old secret is still valid there are two signatures, so that a consumer may change at leisure.
    """
    seconds = now_ms // 1000
    moment = datetime.fromtimestamp(seconds, UTC)
    text = body.decode()
    signatures = [
        _webhook(secret).sign(message_id, moment, text)
        for secret, until_ms in signing
        if until_ms is None or until_ms > now_ms
    ]
    headers = {"webhook-id": message_id, "webhook-timestamp": str(seconds)}
    if signatures:
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def verify(
    signing: Iterable[str],
    headers: Mapping[str, str],
    body: bytes,
    now_ms: int,
    *,
    tolerance_s: int = TOLERANCE_S,
) -> str:
    """Answer the message id when one of our secrets signed these bytes lately. For consumers written with us.

    headers: names in lower case or a case-insensitive mapping. Errors: `Rejected` saying what is wrong.
    """
    message_id = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    given = headers.get("webhook-signature", "")
    if not (message_id and stamp and given):
        raise Rejected("A header is missing: webhook-id, webhook-timestamp and webhook-signature are needed.")
    if len(stamp) > 12 or not stamp.isdecimal() or abs(int(stamp) - now_ms // 1000) > tolerance_s:
        raise Rejected(f"The header webhook-timestamp is more than {tolerance_s} s away from now.")
    moment = datetime.fromtimestamp(int(stamp), UTC)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise Rejected("The body is not UTF-8, so it was not sent by us.") from None
    wanted = [_webhook(secret).sign(message_id, moment, text).encode() for secret in signing]
    offered = [one.encode() for one in given.split(" ")]
    if not any(hmac.compare_digest(one, other) for one in wanted for other in offered):
        raise Rejected("No signature fits: the secret is another one, or the body was changed on its way.")
    return message_id


@lru_cache(maxsize=4096)
def _webhook(secret: str) -> Webhook:
    return Webhook(secret)
