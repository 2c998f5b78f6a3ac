"""Small files that people send in the demo: real ones, for browsers to show and to play."""

from __future__ import annotations

import base64
import math
import struct
from random import Random

from simulators.wppconnect import Media
from simulators.wppconnect.pictures import png

WIDE, HIGH = 240, 160
SILENT_20_MS = b"\xf8\xff\xfe"  # an Opus frame without sound. Source: RFC 6716 section 3.1
SAMPLES_20_MS = 960
# A document with one empty page.
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 298 420]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)


def picture(random: Random) -> Media:
    """Answer a photo: a blurred grey scene of its seed."""
    places = [(random.random() * WIDE, random.random() * HIGH, random.uniform(18, 60)) for _ in range(6)]

    def shade(x: int, y: int) -> int:
        light = sum(math.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * r * r)) for a, b, r in places)
        return min(255, int(40 + 120 * light + 40 * y / HIGH))

    rows = [bytes(shade(x // 4 * 4, y // 4 * 4) for x in range(WIDE)) for y in range(HIGH)]
    return _media("image/png", "", png(rows), random)


def voice(random: Random) -> Media:
    """Answer a voice message of two to nine seconds in which nobody speaks."""
    return _media("audio/ogg; codecs=opus", "", silence(random.randint(2, 9)), random)


def document(name: str, random: Random) -> Media:
    return _media("application/pdf", name, PDF, random)


def silence(seconds: int) -> bytes:
    """Answer an Ogg Opus file of so many seconds. Source: RFC 3533 section 6, RFC 7845 section 5."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 4) + b"demo" + struct.pack("<I", 0)
    pages = [_page([head], 0, 0, 2), _page([tags], 0, 1, 0)]
    for second in range(seconds):
        last = 4 if second == seconds - 1 else 0
        position = (second + 1) * 50 * SAMPLES_20_MS
        pages.append(_page([SILENT_20_MS] * 50, position, second + 2, last))
    return b"".join(pages)


def _page(packets: list[bytes], position: int, number: int, flags: int) -> bytes:
    sizes = bytes(len(one) for one in packets)
    head = struct.pack("<4sBBqIII", b"OggS", 0, flags, position, 1, number, 0)
    whole = head + bytes([len(sizes)]) + sizes + b"".join(packets)
    return whole[:22] + struct.pack("<I", _crc(whole)) + whole[26:]


def _crc(data: bytes) -> int:
    """Answer Ogg's checksum: CRC-32 with polynomial 0x04C11DB7, not reflected, beginning with 0."""
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ 0x04C11DB7) & 0xFFFFFFFF if crc & 0x80000000 else crc << 1
    return crc


def _media(mimetype: str, name: str, content: bytes, random: Random) -> Media:
    seed = random.getrandbits(32)
    return Media(mimetype, name, len(content), seed, data=base64.b64encode(content).decode())
