"""Opens a connection to a RabbitMQ server and says in words why it could not."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

from aio_pika.abc import AbstractConnection, FieldValue
from aio_pika.connection import Connection, make_url
from aiormq import spec
from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelAccessRefused,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ConnectionClosed,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from atalaia.deliveries.targets.target import Unreachable
from atalaia.errors import Refused, UpstreamError

CONNECT_S = 5.0
HEARTBEAT_S = 10


@dataclass(frozen=True, slots=True)
class Server:
    """Where a RabbitMQ listens, and as whom we come."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: bool = False


async def connect(server: Server, vhost: str) -> AbstractConnection:
    """Open a connection to `vhost`. Errors: `Unreachable`, `Refused` (password, virtual host)."""
    url = make_url(
        host=server.host,
        port=server.port,
        login=server.user,
        password=server.password,
        virtualhost=vhost,
        ssl=server.tls,
        heartbeat=HEARTBEAT_S,
    )
    context = ssl.create_default_context() if server.tls else None
    properties: dict[str, FieldValue] = {"connection_name": "atalaia"}
    connection = Connection(url, ssl_context=context, client_properties=properties, heartbeat=HEARTBEAT_S)
    try:
        await connection.connect(timeout=CONNECT_S)
    except (AMQPError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        await connection.close()  # or it does so by itself when nobody is there to wait for it
        raise translated(error, vhost, server) from None
    return connection


def translated(error: BaseException, vhost: str, server: Server | None) -> UpstreamError:
    """Turn what the library raised into one of the five errors, told apart by words a person can use."""
    place = f"{server.host}:{server.port}" if server else "RabbitMQ"
    user = f" {server.user}" if server else ""
    text = said_by(error)
    match error:
        case ProbableAuthenticationError() | AuthenticationError():
            said = f"{place} refused the user{user} or the password."
            return Refused(said, ask="Correct user and password of the RabbitMQ server.")
        case _ if "not found" in text and "vhost" in text:
            said = f"{place} has no virtual host {vhost}."
            return Refused(said, ask=f"Create the virtual host {vhost} in RabbitMQ, or correct its name.")
        case _ if "access to vhost" in text:
            said = f"{place} does not let the user{user} into the virtual host {vhost}."
            return Refused(said, ask=f"Give the user{user} rights on the virtual host {vhost}.")
        case ChannelAccessRefused():
            said = f"{place} does not let us publish in the virtual host {vhost}: {text}"
            return Refused(said, ask=f"Give the user write rights on the virtual host {vhost}.")
        case ChannelNotFoundEntity():
            return Unreachable(f"{place} says, in the virtual host {vhost}: {text}")
        case TimeoutError():
            return Unreachable(f"{place} did not answer within {CONNECT_S:g} s.")
        case ssl.SSLError():
            return Unreachable(f"No secure connection to {place}: {error.reason or 'handshake failed'}.")
        case ChannelInvalidStateError():
            return Unreachable(f"The connection to {place} was closed, virtual host {vhost}.")
        case _:
            return Unreachable(f"No connection to {place}, virtual host {vhost}: {text}")


def said_by(error: BaseException) -> str:
    """Answer the broker's own words, or the operating system's."""
    if isinstance(error, InvalidFrameError) and (close := _close_frame(error)) is not None:
        return str(close.reply_text)
    if isinstance(error, ConnectionClosed) and len(error.args) > 1:
        return str(error.args[1])
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _close_frame(error: BaseException) -> spec.Connection.Close | None:
    """Find the frame with which the server ended the handshake.

    The library (7.2) says only that it expected another one, and drops the reason; its frame is still there.
    """
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame.f_locals.get("frame")
        if isinstance(frame, spec.Connection.Close):
            return frame
        trace = trace.tb_next
    return None
