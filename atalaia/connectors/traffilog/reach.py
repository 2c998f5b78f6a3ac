"""Why the upstream cannot be reached, told apart: a name, a route, a port, a certificate, a login, a socket.

The upstream's hosts answer only from some networks (contract §3.1), so “not reachable” alone helps nobody.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

import aiohttp

from atalaia.clock import Clock, within
from atalaia.connectors.traffilog.protocol import FRAME_TODO
from atalaia.connectors.traffilog.settings import TraffilogSettings, place_of
from atalaia.errors import Refused, Unavailable

PROBE_WITHIN_S = 5.0
_NO_ROUTE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL}


class Cause(StrEnum):
    """Where it ended, in the order of the way there."""

    DNS = "dns"
    ROUTE = "route"
    TCP = "tcp"
    TLS = "tls"
    HTTP = "http"
    LOGIN = "login"
    SOCKET = "websocket"
    FRAME = "frame"
    MUTE = "mute"


# Of a socket that was open: that one falls now and then is nobody's fault.
LOST_TODO = "Nothing: a new session is opened. If it falls often, look at the network and the upstream."
REMEDY = {
    Cause.DNS: "Correct the address, or make the name known here (DNS of the VPN).",
    Cause.ROUTE: "Bring up the VPN, or allow this machine on the upstream's network.",
    Cause.TCP: "Check the port in the address, and that the upstream runs.",
    Cause.TLS: "Check the machine's clock, the address, and the certificate authority in the settings.",
    Cause.HTTP: "Check the address and proxies on the way; the upstream may be down.",
    Cause.LOGIN: "Try again later; if it stays so, look at the account.",
    Cause.SOCKET: "Check the socket's address, its GUID and the origin; allow WebSockets on the way.",
    Cause.FRAME: FRAME_TODO,
    Cause.MUTE: "The socket is open but nothing is answered: a new one is opened.",
}


class Unreached(Unavailable):
    """The upstream did not answer as it should; `cause` says where on the way. We wait and try again."""

    def __init__(self, cause: Cause, said: str, *, todo: str = "") -> None:
        super().__init__(said)
        self.cause = cause
        self.todo = todo or REMEDY[cause]


@dataclass(frozen=True, slots=True)
class Way:
    """How far one came: the addresses of the name, and where it ended (None = TLS or TCP stands)."""

    addresses: tuple[str, ...]
    failed: Unreached | None
    took_ms: float


async def probe(url: str, settings: TraffilogSettings, clock: Clock, *, tcp_only: bool = False) -> Way:
    """Go the way to `url` up to TCP and TLS, without HTTP. tcp_only: without TLS, which is costly."""
    host, port, tls = place_of(url)
    began = clock.monotonic()
    addresses: tuple[str, ...] = ()
    failed: Unreached | None = None
    try:
        addresses = await within(clock, PROBE_WITHIN_S, _resolve(host, port))
        await within(
            clock,
            PROBE_WITHIN_S,
            _connect(host, port, context_of(settings) if tls and not tcp_only else None),
        )
    except TimeoutError:
        failed = _timed_out(host, port, resolved=bool(addresses))
    except OSError as error:
        failed = read_os_error(error, host, port)
    return Way(addresses, failed, round((clock.monotonic() - began) * 1000, 2))


def read_client_error(error: aiohttp.ClientError, url: str) -> Unreached:
    """Translate what aiohttp raises. Its own texts may hold addresses with tokens: they are not kept."""
    host, port, _ = place_of(url)
    match error:
        case aiohttp.WSServerHandshakeError(status=status):
            return Unreached(Cause.SOCKET, f"{host}:{port} refused the WebSocket with HTTP {status}.")
        case aiohttp.ClientConnectorDNSError():
            return _unknown_name(host)
        case aiohttp.ClientConnectorCertificateError():
            return Unreached(Cause.TLS, f"The certificate of {host}:{port} is not trusted.")
        case aiohttp.ClientSSLError():
            return Unreached(Cause.TLS, f"{host}:{port} does not speak TLS with us.")
        case aiohttp.ClientConnectorError(os_error=cause):
            return read_os_error(cause, host, port)
        case _:
            return Unreached(Cause.HTTP, f"{host}:{port} broke the connection without an answer.")


def read_os_error(error: OSError, host: str, port: int) -> Unreached:
    """Tell name, route, port and TLS apart by what the system says."""
    if isinstance(error, socket.gaierror):
        return _unknown_name(host)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreached(Cause.TLS, f"The certificate of {host}:{port} is not trusted.")
    if isinstance(error, ssl.SSLError):
        return Unreached(Cause.TLS, f"{host}:{port} does not speak TLS with us.")
    if error.errno in _NO_ROUTE:
        return Unreached(Cause.ROUTE, f"There is no route from here to {host} ({_words(error)}).")
    if error.errno == errno.ETIMEDOUT:
        return _timed_out(host, port, resolved=True)
    return Unreached(Cause.TCP, f"Nothing accepts connections on {host}:{port} ({_words(error)}).")


def context_of(settings: TraffilogSettings) -> ssl.SSLContext:
    """Answer how certificates are checked. Errors: `Refused` when the file of the authority is no good."""
    path = Path(settings.tls_ca_file) if settings.tls_ca_file else None
    try:
        return _context(path, path.stat().st_mtime_ns if path else 0, settings.tls_verify)
    except (OSError, ssl.SSLError):
        said = "The file of the certificate authority is not there or holds no PEM certificate."
        ask = "Correct the path in the connection's settings."
        raise Refused(said, ask=ask, cause=Cause.TLS) from None


@lru_cache(maxsize=16)
def _context(path: Path | None, _changed_ns: int, verify: bool) -> ssl.SSLContext:
    """Keep contexts: reading the machine's authorities takes too long to do it for every job."""
    context = ssl.create_default_context(cafile=path)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _resolve(host: str, port: int) -> tuple[str, ...]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(sorted({str(address[0]) for *_, address in found}))


async def _connect(host: str, port: int, context: ssl.SSLContext | None) -> None:
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.close()


def _unknown_name(host: str) -> Unreached:
    return Unreached(Cause.DNS, f"The name {host} is not known here.")


def _timed_out(host: str, port: int, *, resolved: bool) -> Unreached:
    if not resolved:
        return Unreached(Cause.DNS, f"The name {host} could not be looked up in time.")
    return Unreached(Cause.ROUTE, f"{host}:{port} does not answer at all: no route, or a firewall.")


def _words(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else type(error).__name__
