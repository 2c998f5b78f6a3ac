"""What a file is, by its first bytes: what a sender says of it counts for nothing."""

from __future__ import annotations

OTHER = "application/octet-stream"
_STARTS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"\xff\xf1", "audio/aac"),
    (b"\xff\xf9", "audio/aac"),
    (b"#!AMR", "audio/amr"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"\x1f\x8b", "application/gzip"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_HEIF = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif")
# What a browser only shows or plays, and runs nothing of.
SHOWN = frozenset(
    {
        "image/jpeg", "image/png", "image/gif", "image/webp", "audio/ogg", "audio/mpeg", "audio/mp4",
        "audio/aac", "audio/wav", "audio/webm", "video/mp4", "video/webm", "video/3gpp",
    }
)  # fmt: skip


def media_type(content: bytes, said: str = "") -> str:
    """Answer the media type of a file by its first bytes; `OTHER` for what is not known.

    said: what the sender calls it. It only tells apart what begins alike: sound and picture in WebM and MP4,
    and the documents that are archives.
    """
    head = content[:64]
    said = said.partition(";")[0].strip().lower()
    found = next((kind for start, kind in _STARTS if head.startswith(start)), "")
    if found in ("application/zip", "application/x-ole-storage") and said.startswith("application/"):
        return said if said.startswith(("application/vnd.", "application/msword")) else found
    if found:
        return found
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], OTHER)
    if head[4:8] == b"ftyp":
        return _iso(head[8:12], said)
    if head[:4] == b"\x1a\x45\xdf\xa3" and b"webm" in head:
        return "audio/webm" if said.startswith("audio/") else "video/webm"
    return OTHER


def _iso(brand: bytes, said: str) -> str:
    if brand in _HEIF:
        return "image/avif" if brand == b"avif" else "image/heic"
    if brand[:3] == b"3gp":
        return "video/3gpp"
    return "audio/mp4" if brand[:3] == b"M4A" or said.startswith("audio/") else "video/mp4"
