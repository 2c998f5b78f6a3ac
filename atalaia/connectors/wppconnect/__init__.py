"""WhatsApp by WPPConnect: one session heard by its webhooks. `CONNECTOR` is what others import.

Only what the house asks of every connector is imported here; the rest comes with the first connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from atalaia.ambient import Ambient
from atalaia.connections.pairing import Code, Pairing
from atalaia.connections.session import CheckStep, Hook, Hooked, Plane, SessionPort
from atalaia.connectors.connector import Connector
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.events.policy import Keep
from atalaia.jobs.kinds import LateKinds
from atalaia.jobs.model import JobKind
from atalaia.reactions.interpreter import Interpretation, Interpreter, Memory

PLANES = (
    Plane("server", "Server", fresh_s=120),
    Plane("browser", "Browser", fresh_s=120),
    Plane("page", "Page", fresh_s=600),
    Plane("message_in", "Messages in", fresh_s=86_400, anew=True),
    Plane("message_out", "Messages out", essential=False, fresh_s=86_400, anew=True),
    Plane("intake", "Our intake", essential=False, fresh_s=86_400),
)


async def _run_session(settings: Any, port: SessionPort) -> None:
    """Keep one session, as `session.run_session` says."""
    from atalaia.connectors.wppconnect import session

    await session.run_session(settings, port)


async def _check(settings: Any, ambient: Ambient) -> list[CheckStep]:
    """Try settings, as `check.check` says."""
    from atalaia.connectors.wppconnect import check

    return await check.check(settings, ambient)


def _server(settings: Any) -> str:
    """Answer which server several sessions share, for the limits of recovery."""
    return settings.server_url or settings.gateway_url


async def _look_for_code(settings: Any, ambient: Ambient) -> Code:
    """Answer the pairing code that is wanted, as `pairing.look` says."""
    from atalaia.connectors.wppconnect import pairing

    return await pairing.look(settings, ambient)


async def _begin_pairing(settings: Any, ambient: Ambient, connection: str, phone: str) -> bool:
    """Open a session for pairing, as `pairing.begin` says."""
    from atalaia.connectors.wppconnect import pairing

    return await pairing.begin(settings, ambient, connection, phone)


async def _picture(settings: Any, ambient: Ambient) -> bytes:
    """Answer what the session's page shows, as `pairing.picture` says."""
    from atalaia.connectors.wppconnect import pairing

    return await pairing.picture(settings, ambient)


def _jobs() -> Sequence[JobKind]:
    from atalaia.connectors.wppconnect.jobs import JOBS

    return JOBS


def _take_hook(settings: Any, raw: bytes, came_ms: int) -> Hooked:
    from atalaia.connectors.wppconnect.hook import take_hook

    return take_hook(settings, raw, came_ms)


def _hook_token(settings: Any) -> str:
    return settings.hook_token.get_secret_value()


def _interpreter(connection: str, memory: Memory) -> Interpreter:
    from atalaia.connectors.wppconnect.interpret import WppconnectInterpreter

    return WppconnectInterpreter(connection, memory)


CONNECTOR = Connector(
    name="wppconnect",
    title="WhatsApp (WPPConnect)",
    settings=WppconnectSettings,
    run_session=_run_session,
    check=_check,
    planes=PLANES,
    interpretations=(Interpretation("wppconnect.messages", ("wppconnect.*",), _interpreter),),
    silence=timedelta(minutes=5),
    keep={
        "onpresencechanged": Keep.COUNT,  # of contacts; that they come is the proof, not what they say
        "qrcode": Keep.COUNT,  # codes are shown to who pairs, and kept by nobody
        "phoneCode": Keep.COUNT,
        "*": Keep.KEEP,
    },
    rhythms={
        "onmessage": "messages",
        "onack": "acks",
        "onselfmessage": "own",
        "onpresencechanged": "presence",
        "status-find": "pages",  # of a page that is loaded or closed
        "group-name": "",  # our own question; that it is answered says nothing of what is heard
        "*": "other",
    },
    server=_server,
    routine=timedelta(minutes=30),
    jobs=LateKinds(_jobs),
    notices="send",
    hook=Hook(_hook_token, _take_hook),
    world="chats",
    pairing=Pairing(
        _look_for_code,
        _begin_pairing,
        by_number=lambda settings: bool(settings.server_url),
        expected=lambda settings: settings.phone,
    ),
    sends="send",
    numbers="{}@c.us",
    fetches="media",
    picture=_picture,
)
