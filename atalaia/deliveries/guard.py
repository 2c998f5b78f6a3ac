"""Keeps webhooks from being turned against our own network (SSRF): what may be dialled, decided at the dial.

The check is made on the very address that is connected to, after names are resolved, so a name that
changes its answer between look and dial (rebinding) gains nothing: `aiohttp` calls `make_socket` for every
address it dials.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from atalaia.deliveries.targets.settings import check_url
from atalaia.errors import ConfigError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA special-purpose registries (IPv4 and IPv6, 2025), and what else is not one public host.
_REFUSED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(one)
    for one in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
        "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96",
        "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32",
        "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10",
        "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
# Ports of other protocols, which could be talked to by accident (Fetch standard, and what runs beside us).
_REFUSED_PORTS = frozenset(
    (
        1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102,
        103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465,
        512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993,
        995, 1719, 1720, 1723, 2049, 2375, 2379, 3306, 3659, 4045, 4190, 4369, 5038, 5060, 5061, 5432,
        5672, 6000, 6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 9200, 10080, 11211, 25672,
        27017,
    )
)  # fmt: skip


class Refusal(OSError):
    """The guard's no, in the only kind of error that a connector hands through."""


@dataclass(frozen=True, slots=True)
class _Allowed:
    """One exception from the rule: a network, or a host on one port or any."""

    network: Network | None = None
    host: str | None = None
    port: int = 0


class Guard:
    """Decides what webhooks may dial. allow: CIDRs, hosts, or host:port that are fine all the same."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._allowed = tuple(_read_allowed(one) for one in allow)
        self._names: dict[str, set[str]] = {}

    def check_url(self, url: str) -> None:
        """Refuse an address whose shape or literal host is not allowed. Errors: `ConfigError`."""
        parts = urlsplit(check_url(url))
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = (parts.hostname or "").rstrip(".")
        try:
            self.check_port(host, port)
            if (literal := _literal(host)) is not None:
                self.check_address(str(literal), port, host)
        except Refusal as no:
            raise ConfigError(f"target.url leads to a forbidden place: {no}") from None

    def check_port(self, host: str, port: int) -> None:
        """Refuse ports of other protocols, unless this very host and port is allowed. Errors: `Refusal`."""
        if port in _REFUSED_PORTS and not self._is_allowed(_literal(host), host, port, exact=True):
            raise Refusal(f"port {port} belongs to another protocol. Allow {host}:{port} if it is meant.")

    def check_address(self, address: str, port: int, host: str = "") -> None:
        """Refuse an address that is not one public host. Errors: `Refusal`."""
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            raise Refusal(f"{address} is no internet address") from None
        if self._is_allowed(ip, host, port):
            return
        if any(ip in network for network in _REFUSED) or not ip.is_global or ip.is_multicast:
            raise Refusal(f"{ip} is not a public address. Allow it or its network if it is meant.")

    def _is_allowed(self, ip: Address | None, host: str, port: int, *, exact: bool = False) -> bool:
        names = {host.lower().rstrip("."), *(self._names.get(str(ip), ()) if ip is not None else ())}
        for one in self._allowed:
            if (one.port and one.port != port) or (exact and not one.port):
                continue
            if one.network is not None and ip is not None and ip in one.network:
                return True
            if one.host in names:
                return True
        return False

    def note(self, host: str, addresses: Iterable[str]) -> None:
        """Remember where an allowed name leads, so that its addresses may be dialled."""
        name = host.lower().rstrip(".")
        if any(one.host == name for one in self._allowed):
            for address in addresses:
                self._names.setdefault(address, set()).add(name)

    def make_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Make the socket for one address that is about to be dialled. Errors: `Refusal`."""
        family, kind, protocol, _, peer = info
        if family not in (socket.AF_INET, socket.AF_INET6):
            raise Refusal("only internet addresses may be dialled")
        self.check_port(str(peer[0]), int(peer[1]))
        self.check_address(str(peer[0]), int(peer[1]))
        return socket.socket(family, kind, protocol)


def _literal(host: str) -> Address | None:
    """Read a host as every C library does: also 2130706433, 0x7f000001, 0177.1 and 127.1 are addresses."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    if not host or not all(letter in "0123456789abcdefxABCDEFX." for letter in host):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def _read_allowed(text: str) -> _Allowed:
    try:
        return _Allowed(network=ipaddress.ip_network(text, strict=False))
    except ValueError:
        pass
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    number = int(port) if port.isdecimal() and 0 < int(port) < 65536 else 0
    if not host or "/" in host or (port and not number):
        raise ConfigError(
            f"allow_private_targets holds {text[:80]!r}. Write a network (10.0.0.0/8), a host, or host:port."
        )
    literal = _literal(host)
    if literal is not None:
        return _Allowed(network=ipaddress.ip_network(str(literal)), port=number)
    return _Allowed(host=host.lower().rstrip("."), port=number)
