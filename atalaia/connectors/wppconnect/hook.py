"""One webhook's body on its way into the log: read, taken out what is a file, never refused for its content.

Source: contract WhatsApp, sections 3.1 and 3.3.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

from atalaia.connections.pairing import Code
from atalaia.connections.session import Hooked
from atalaia.connectors.wppconnect import heard
from atalaia.connectors.wppconnect.canary import marked
from atalaia.connectors.wppconnect.door import read_base64
from atalaia.connectors.wppconnect.envelope import Json, Said, read_said, session_key
from atalaia.connectors.wppconnect.message import FILE, MEDIA
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.desk.chats.sniffing import media_type
from atalaia.errors import Unreadable

# A thumbnail stays where it is; the file itself, which `autoDownload` puts there, is kept beside the log.
INLINE_CHARS_MAX = 32_768
CODES = ("qrcode", "urlcode", "phoneCode")  # events and their keys alike


def take_hook(settings: Any, raw: bytes, came_ms: int) -> Hooked:
    """Answer what one body says. What cannot be read is an event, too, kept as it came.

    The session comes from the address, because events of the pairing carry no name; a name that is another
    session's is kept and shown, and changes nothing.
    """
    names = cast("WppconnectSettings", settings).names
    try:
        said = read_said(raw)
    except Unreadable:
        return Hooked([heard.unreadable(raw, came_ms)])
    files: dict[str, bytes] = {}
    code = _code_in(said)
    payload = _without_files({k: v for k, v in said.payload.items() if k not in CODES}, files)
    payload = marked(payload, settings)
    if said.session and session_key(said.session) not in names:
        payload = {**payload, "$other_session": said.session}
    whole = Said(said.event, said.session, payload, said.event_id, said.said_ms, said.form)
    return Hooked([heard.heard_of(whole, came_ms)], files, code)


def _code_in(said: Said) -> Code | None:
    """Answer the pairing code that an event shows; it lives for seconds and is nothing for a log."""
    place, word = ("urlcode", "scan") if said.event == "qrcode" else ("phoneCode", "type")
    text = said.payload.get(place) if said.event in CODES else None
    return Code(word, text=text) if isinstance(text, str) and text else None


def _without_files(payload: Json, files: dict[str, bytes]) -> Json:
    """Take the file out of a media message and leave its hash and type; what is no base64 stays."""
    if payload.get("type") not in MEDIA:
        return payload
    found: Json = {}
    for key in ("body", "content"):
        value = payload.get(key)
        if not isinstance(value, str) or len(value) <= INLINE_CHARS_MAX:
            continue
        try:
            content = read_base64(value)
        except Unreadable:
            continue
        digest = hashlib.sha256(content).hexdigest()
        files[digest] = content
        kind = media_type(content, str(payload.get("mimetype") or ""))
        found[key] = {FILE: digest, "size_bytes": len(content), "mimetype": kind}
    return {key: found.get(key, value) for key, value in payload.items()} if found else payload
