"""Files that people attach to what they write: what may be sent as what, told from their content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from atalaia.desk.chats.actions import NotFitting
from atalaia.desk.chats.sniffing import OTHER, media_type

MB = 1024 * 1024
# What WhatsApp takes; a document also goes as base64 through a server that reads bodies of 50 MB.
BYTES_MAX = {"image": 16 * MB, "voice": 16 * MB, "document": 36 * MB}
PICTURES = ("image/jpeg", "image/png", "image/webp")
RECORDINGS = ("audio/ogg",)  # as a voice message; other sounds are documents
OPUS = b"OpusHead"  # stands in the first page of an OGG that phones play as a voice message
NAME_CHARS = 200


@dataclass(frozen=True, slots=True)
class Upload:
    """One file to be kept and sent. kind: what it is sent as: image, voice or document."""

    kind: str
    content: bytes
    mimetype: str
    filename: str

    def body(self, file: str) -> dict[str, Any]:
        """Answer what a request says of it. file: the SHA-256 under which it is kept."""
        return {
            "file": file, "mimetype": self.mimetype, "filename": self.filename,
            "size_bytes": len(self.content),
        }  # fmt: skip


def read_upload(content: bytes, filename: str = "", said: str = "", wanted: str = "") -> Upload:
    """Answer what a file can be sent as. said: the media type by its sender; wanted: "" for what fits best.

    Errors: `NotFitting` for an empty or too large one, or one that is not what is wanted.
    """
    if not content:
        raise NotFitting("file", "The file is empty.")
    kind = media_type(content, said)
    if wanted == "voice" and kind not in RECORDINGS:
        raise NotFitting("file", "A voice message is OGG with Opus; send other sounds as a document.")
    if wanted == "image" and kind not in PICTURES:
        raise NotFitting("file", "A picture is JPEG, PNG or WebP; send other files as a document.")
    sent_as = wanted or _best(kind, content)
    most = BYTES_MAX.get(sent_as, 0)
    if not most:
        raise NotFitting("kind", "A file is sent as image, voice or document.")
    if len(content) > most:
        raise NotFitting("file", f"The file is larger than {most // MB} MB, the most that can be sent so.")
    shown = kind if kind != OTHER else said.partition(";")[0].strip()[:100] or OTHER
    name = filename.replace("\\", "/").rpartition("/")[2].strip()[:NAME_CHARS]
    return Upload(sent_as, content, shown, name)


def _best(kind: str, content: bytes) -> str:
    if kind in PICTURES:
        return "image"
    return "voice" if kind in RECORDINGS and OPUS in content[:64] else "document"
