"""A file is what its first bytes say, and is sent only as what WhatsApp takes."""

from __future__ import annotations

import pytest

from atalaia.desk.chats.actions import NotFitting
from atalaia.desk.chats.sniffing import SHOWN, media_type
from atalaia.desk.chats.uploads import MB, read_upload

JPEG, OGG = b"\xff\xd8\xff\xe0" + bytes(40), b"OggS" + bytes(40)


@pytest.mark.parametrize(
    ("content", "said", "kind"),
    [
        (JPEG, "text/html", "image/jpeg"),
        (OGG, "audio/ogg; codecs=opus", "audio/ogg"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "", "image/webp"),
        (b"\0\0\0\x20ftypisom", "video/mp4", "video/mp4"),
        (b"\0\0\0\x20ftypM4A ", "", "audio/mp4"),
        (b"%PDF-1.7", "image/png", "application/pdf"),
        (b"PK\x03\x04", "application/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"),
        (b"<html><script>alert(1)</script>", "image/png", "application/octet-stream"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", "application/octet-stream"),
        (b"", "image/png", "application/octet-stream"),
    ],
)
def test_a_file_is_what_its_first_bytes_say(content: bytes, said: str, kind: str):
    assert media_type(content, said) == kind


def test_nothing_that_a_browser_runs_is_shown():
    assert not {kind for kind in SHOWN if not kind.startswith(("image/", "audio/", "video/"))}
    assert "image/svg+xml" not in SHOWN


def test_what_fits_best_is_chosen_and_the_name_has_no_folders():
    picture = read_upload(JPEG, "C:\\fotos\\placa.jpg")
    other = read_upload(b"nota", "../nota.txt", "text/plain")

    assert read_upload(b"OggS" + bytes(24) + b"OpusHead").kind == "voice"
    assert read_upload(OGG).kind == "document"
    assert (picture.kind, picture.mimetype, picture.filename) == ("image", "image/jpeg", "placa.jpg")
    assert (other.kind, other.mimetype, other.filename) == ("document", "text/plain", "nota.txt")


@pytest.mark.parametrize(
    ("content", "wanted", "said"),
    [
        (b"", "", "empty"), (JPEG, "voice", "OGG"), (OGG, "image", "JPEG"),
        (JPEG + bytes(16 * MB), "", "16 MB"), (bytes(36 * MB + 1), "", "36 MB"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_said_before_anything_is_kept(content: bytes, wanted: str, said: str):
    with pytest.raises(NotFitting, match=said):
        read_upload(content, "x", "", wanted)
