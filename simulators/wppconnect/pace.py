"""How long things take, in seconds of the handed-in clock: what was observed with the real server."""

from __future__ import annotations

from dataclasses import dataclass

Span = tuple[float, float]  # shortest and longest, drawn evenly


@dataclass(frozen=True)
class Pace:
    """Every pause. `Pace()` is what was observed; `Pace.at_once()` answers without any.

    Source: the contract's sections 1.3, 2.2, 2.3 and 3.4, and the transcripts 03, 04, 05, 10 and 12.
    """

    page_s: Span = (0.8, 1.2)  # from start-session to the first code, or to isLogged
    code_s: float = 20.0  # a new code replaces the old one
    pairing_s: float = 60.0  # then the page is given up, see `autoclose_60s`
    login_s: Span = (0.3, 0.8)  # from the code that was read to the main screen
    in_chat_s: Span = (0.5, 1.0)
    device_sync_s: float = 180.0  # a main screen that is not there by then is given up
    resume_s: Span = (0.5, 2.0)  # until a reloaded page has what it missed
    history_s: Span = (2.0, 5.0)  # between two portions after a pairing
    removed_s: Span = (1.0, 2.0)  # until the page notices that the phone removed it
    logout_s: float = 0.6
    server_ack_s: Span = (0.05, 0.3)
    device_ack_s: Span = (0.3, 2.0)
    read_ack_s: Span = (5.0, 90.0)
    download_s: Span = (0.2, 1.5)  # autoDownload, before the webhook of a media message leaves
    gateway_media_s: float = 30.0  # the gateway has no media earlier than that
    gateway_limit_s: float = 30.0  # what the gateway waits for the server
    gateway_retry_s: tuple[float, ...] = (1.0, 5.0, 15.0, 60.0)  # between deliveries of one envelope
    gateway_qr_s: float = 2.0  # between start-session and the next question

    @classmethod
    def at_once(cls) -> Pace:
        """Answer a pace whose answers come at once, while codes, people and retries keep their own time."""
        none = (0.0, 0.0)
        return cls(
            page_s=none,
            login_s=none,
            in_chat_s=none,
            resume_s=none,
            history_s=none,
            removed_s=none,
            logout_s=0.0,
            server_ack_s=none,
            device_ack_s=none,
            read_ack_s=none,
            download_s=none,
            gateway_media_s=0.0,
            gateway_qr_s=0.0,
        )
