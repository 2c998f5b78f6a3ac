"""The headers that every answer carries, and where a request really came from."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from starlette.datastructures import Headers

from atalaia.settings import Settings

CSP = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)
_YEAR_S = 31_536_000


def security_headers(settings: Settings) -> list[tuple[bytes, bytes]]:
    """Answer the headers that keep browsers from doing harm."""
    headers = {
        "content-security-policy": CSP,
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    }
    if settings.https:
        headers["strict-transport-security"] = f"max-age={_YEAR_S}"
    return [(name.encode(), value.encode()) for name, value in headers.items()]


class Origin:
    """Finds the asker's address behind reverse proxies that we trust."""

    def __init__(self, settings: Settings) -> None:
        self._trusted = [ip_network(word, strict=False) for word in settings.trusted_proxies]
        self._public = settings.public_url

    def address(self, scope: Mapping[str, Any], headers: Headers) -> str:
        """Answer the asker's address: the last hop in X-Forwarded-For that is not one of our own proxies."""
        client = scope.get("client")
        address = str(client[0]) if client else ""
        if not self._is_trusted(address):
            return address
        for hop in reversed(headers.get("x-forwarded-for", "").split(",")):
            hop = hop.strip()
            if not hop:
                continue
            address = hop
            if not self._is_trusted(hop):
                break
        return address[:64]

    def scheme(self, scope: Mapping[str, Any], headers: Headers) -> str:
        """Answer `https` when the asker's browser speaks it, whatever stands between."""
        client = scope.get("client")
        if client and self._is_trusted(str(client[0])):
            told = headers.get("x-forwarded-proto", "").split(",")[0].strip()
            if told in ("http", "https"):
                return told
        return str(scope.get("scheme", "http"))

    def same(self, headers: Headers) -> bool:
        """Answer whether the request comes from our own pages, as far as the browser tells.

        `Sec-Fetch-Site` cannot be forged by another page; older browsers still send `Origin`. A program
        sends neither, and has no cookie that somebody could abuse.
        """
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in ("same-origin", "none")
        origin = headers.get("origin")
        if origin is None:
            return True
        host = origin.partition("://")[2]
        return host == headers.get("host", "") or (bool(self._public) and origin == self._public)

    def _is_trusted(self, address: str) -> bool:
        if not self._trusted:
            return False
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._trusted)
