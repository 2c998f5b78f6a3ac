"""WhatsApp by WPPConnect: one session heard by its webhooks. `CONNECTOR` is what others import.

Only what the house asks of every connector is imported here; the rest comes with the first connection.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from atalaia.connections.session import Hook, Hooked, Plane
from atalaia.connectors.connector import Connector
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.events.policy import Keep
from atalaia.reactions.interpreter import Interpretation, Interpreter, Memory

PLANES = (
    Plane("server", "Server", fresh_s=120),
    Plane("browser", "Browser", fresh_s=120),
    Plane("page", "Page", fresh_s=600),
    Plane("message_in", "Messages in", fresh_s=86_400),
    Plane("message_out", "Messages out", essential=False, fresh_s=86_400),
    Plane("intake", "Our intake", essential=False, fresh_s=86_400),
)


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
    run_session=None,
    planes=PLANES,
    interpretations=(Interpretation("wppconnect.messages", ("wppconnect.*",), _interpreter),),
    silence=timedelta(minutes=5),
    keep={
        "onpresencechanged": Keep.COUNT,  # of contacts; that they come is the proof, not what they say
        "qrcode": Keep.COUNT,  # the code itself is fetched when somebody looks
        "*": Keep.KEEP,
    },
    hook=Hook(_hook_token, _take_hook),
    world="chats",
)
