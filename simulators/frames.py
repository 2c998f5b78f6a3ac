"""WebSocket frames written by hand, for simulators that must never wait for a slow reader."""

from __future__ import annotations


def text_frame(payload: bytes) -> bytes:
    """Answer one unmasked WebSocket text frame (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload
