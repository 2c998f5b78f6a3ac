"""Pictures of QR codes, and the small files that people send."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from random import Random

import segno

from simulators.wppconnect.models import Media

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PAGE_PX, STATUS_PX, ROUTE_PX = 40, 148, 500  # what the page draws, status-session, qrcode-session

_HEADS = {
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01",
    "audio/ogg": b"OggS\x00\x02",
    "application/pdf": b"%PDF-1.4\n",
    "video/mp4": b"\x00\x00\x00\x18ftypmp42",
    "image/webp": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
}


def png(rows: Sequence[bytes]) -> bytes:
    """Answer a greyscale PNG of one byte a pixel. Source: RFC 2083 sections 3 and 4."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\x00" + row for row in rows))
    return PNG_MAGIC + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@lru_cache(maxsize=64)
def qr_png(text: str, pixels: int) -> bytes:
    """Answer a square PNG of the QR code of `text`, `pixels` wide, with a quiet zone of two modules."""
    code = segno.make(text, error="l", micro=False)
    matrix = [bytes(row) for row in code.matrix_iter(scale=1, border=2)]
    across = [place * len(matrix) // pixels for place in range(pixels)]
    return png([bytes(0 if matrix[y][x] else 255 for x in across) for y in across])


def qr_base64(text: str, pixels: int) -> str:
    return base64.b64encode(qr_png(text, pixels)).decode()


def file_bytes(media: Media) -> bytes:
    """Answer the bytes of a file: the right magic for its type, then noise of its seed, `size` in all."""
    if media.data:
        return base64.b64decode(media.data)
    kind = media.mimetype.partition(";")[0]
    random = Random(media.seed)
    if kind == "image/png":
        return png([random.randbytes(16) for _ in range(16)])
    head = _HEADS.get(kind, b"")
    return head + random.randbytes(max(0, media.size - len(head)))


def file_base64(media: Media) -> str:
    return base64.b64encode(file_bytes(media)).decode()
