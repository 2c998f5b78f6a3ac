"""The one secret of the old gateway's callers; light, because the door asks before the routes are loaded."""

from __future__ import annotations

import hashlib
import hmac
import re

from starlette.datastructures import Headers

from atalaia.settings import Settings

SECRET, WEBHOOK_SECRET = "X-Gateway-Secret", "X-Webhook-Secret"
SECRET_CHARS = 400
# Audio of 16 MB as base64, and webhooks that hold whole files. Source: contract WhatsApp, sections 1.5, 3.1.
BYTES_MAX = 64 * 1024 * 1024
_LARGE = re.compile(r"/api/messages|/api/whatsapp/webhook")


def shows_secret(headers: Headers, settings: Settings) -> bool:
    """Answer whether a request shows the secret, compared in constant time; an unset one fits nothing."""
    wanted = settings.old_gateway_secret.get_secret_value()
    given = headers.get(SECRET) or headers.get(WEBHOOK_SECRET) or ""
    if not wanted or not given or len(given) > SECRET_CHARS:
        return False
    digest = [hashlib.sha256(text.encode(errors="surrogatepass")).digest() for text in (given, wanted)]
    return hmac.compare_digest(*digest)


def takes_files(path: str) -> bool:
    """Answer whether whole files come in JSON at this address."""
    return _LARGE.fullmatch(path) is not None
