"""Every state a screen can show: its colour family, its icon and its word.

Tones: `good` green, `info` blue, `idle` grey, `bad` red, `ask` amber (needs a person). A tone never
stands alone: the word and the icon are always beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

from atalaia.web.i18n import N_, gettext


@dataclass(frozen=True)
class Sign:
    """How one state looks; `word` is English source text, `said` the word in the view's language."""

    tone: str
    icon: str
    word: str

    @property
    def said(self) -> str:
        return gettext(self.word)


SIGNS: dict[str, Sign] = {
    # connections
    "opening": Sign("info", "progress", N_("Opening")),
    "live": Sign("good", "circle-check", N_("Live")),
    "suspect": Sign("info", "help-circle", N_("Suspect")),
    "lost": Sign("bad", "plug-connected-x", N_("Lost")),
    "waiting": Sign("info", "hourglass", N_("Waiting")),
    "needs_person": Sign("ask", "user-off", N_("Needs a person")),
    "hung": Sign("bad", "clock-pause", N_("Hung")),
    "mute": Sign("bad", "bell-off", N_("Open and mute")),
    "stopped": Sign("idle", "player-stop", N_("Stopped")),
    # what is known of an upstream's session, see connections/truth.py
    "truth_starting": Sign("info", "progress", N_("Starting")),
    "truth_pairing": Sign("ask", "user-off", N_("Waits for pairing")),
    "truth_unproven": Sign("info", "help-circle", N_("Connected, not proven")),
    "truth_silent": Sign("info", "ear", N_("Suspiciously silent")),
    "truth_no_ack": Sign("info", "help-circle", N_("Not acknowledged")),
    "truth_deaf": Sign("bad", "bell-off", N_("Connected but deaf")),
    "truth_hung": Sign("bad", "clock-pause", N_("Hung")),
    "truth_browser_lost": Sign("bad", "plug-connected-x", N_("Browser lost")),
    "truth_logged_out": Sign("ask", "logout", N_("Logged out")),
    "truth_closed": Sign("bad", "plug-connected-x", N_("Session closed")),
    "truth_recovering": Sign("info", "refresh", N_("Being recovered")),
    "unknown": Sign("idle", "question-mark", N_("Unknown")),
    # calls
    "ringing": Sign("info", "phone-ringing", N_("Ringing")),
    "on_call": Sign("good", "phone-call", N_("On call")),
    "closed": Sign("idle", "phone-check", N_("Closed")),
    "unanswered": Sign("bad", "phone-x", N_("Unanswered")),
    # conversations
    "chat_new": Sign("ask", "inbox", N_("New conversation")),
    "chat_open": Sign("good", "message-circle", N_("Open conversation")),
    "chat_pending": Sign("info", "clock-pause", N_("Waits")),
    "chat_closed": Sign("idle", "check", N_("Closed conversation")),
    "chat_ignored": Sign("idle", "bell-off", N_("Ignored")),
    # endpoints and workers
    "online": Sign("good", "circle-check", N_("Online")),
    "offline": Sign("idle", "wifi-off", N_("Offline")),
    "alive": Sign("good", "heartbeat", N_("Alive")),
    "worker_lost": Sign("bad", "heartbeat", N_("Gone")),
    # deliveries, subscriptions, circuits
    "pending": Sign("info", "hourglass", N_("Pending")),
    "sending": Sign("info", "send", N_("Sending")),
    "delivered": Sign("good", "checks", N_("Delivered")),
    "retrying": Sign("info", "refresh-alert", N_("Will be retried")),
    "dead": Sign("ask", "skull", N_("Dead letter")),
    "active": Sign("good", "player-play", N_("Active")),
    "paused": Sign("idle", "player-pause", N_("Paused")),
    "circuit_closed": Sign("good", "plug-connected", N_("Reachable")),
    "circuit_open": Sign("bad", "plug-x", N_("Unreachable")),
    # jobs and their steps
    "queued": Sign("info", "hourglass", N_("Queued")),
    "asking": Sign("ask", "message-circle", N_("Waits for a choice")),
    "in_doubt": Sign("ask", "help-circle", N_("In doubt")),
    "cancelled": Sign("idle", "ban", N_("Cancelled")),
    "expired": Sign("idle", "alarm", N_("Expired")),
    "started": Sign("info", "player-play", N_("Under way")),
    "sent": Sign("info", "send", N_("Sent, no answer yet")),
    "happened": Sign("good", "checks", N_("It happened")),
    "again": Sign("idle", "repeat", N_("Run again")),
    # vehicles and their processes
    "connected": Sign("good", "antenna-bars-5", N_("Transmitting")),
    "silent": Sign("idle", "wifi-off", N_("Silent")),
    "confirmed": Sign("good", "shield-check", N_("Confirmed")),
    "unconfirmed": Sign("ask", "help-circle", N_("Completed, not confirmed")),
    "partial": Sign("info", "circle-dashed", N_("Incomplete reading")),
    "module_ok": Sign("good", "check", N_("Working")),
    "module_was_ok": Sign("bad", "alert-triangle", N_("Not working now")),
    "module_bad": Sign("bad", "x", N_("Never worked")),
    "module_off": Sign("idle", "minus", N_("Not active")),
    # the way of an installation
    "stage_later": Sign("idle", "circle-dashed", N_("To come")),
    # gaps
    "gap_open": Sign("info", "ear", N_("Not hearing")),
    "gap_ended": Sign("info", "hourglass", N_("Not reconciled yet")),
    "nothing_lost": Sign("good", "shield-check", N_("Nothing lost")),
    "something_lost": Sign("bad", "alert-triangle", N_("Something was lost")),
    "loss_unknown": Sign("idle", "question-mark", N_("Cannot be known")),
    # alerts
    "raised": Sign("ask", "bell-ringing", N_("Raised")),
    "resolved": Sign("idle", "circle-check", N_("Resolved")),
    "silenced": Sign("idle", "bell-off", N_("Silenced")),
    # notices about alerts
    "notice_held": Sign("idle", "clock-pause", N_("Held back")),
    "notice_pending": Sign("info", "hourglass", N_("Waits to be sent")),
    "notice_sending": Sign("info", "send", N_("Being sent")),
    "notice_sent": Sign("good", "checks", N_("Was sent")),
    "notice_failed": Sign("bad", "x", N_("Given up")),
    "notice_summed": Sign("idle", "checks", N_("Told in a summary")),
    "notice_passed": Sign("idle", "arrow-right", N_("Left to another channel")),
    "notice_dropped": Sign("idle", "ban", N_("Dropped")),
    # the hub itself and anything else
    "healthy": Sign("good", "heartbeat", N_("Healthy")),
    "attention": Sign("ask", "alert-triangle", N_("Attention")),
    "failing": Sign("bad", "alert-octagon", N_("Failing")),
    "ok": Sign("good", "check", N_("OK")),
    "failed": Sign("bad", "x", N_("Failed")),
    "running": Sign("info", "loader", N_("Running")),
    "done": Sign("good", "check", N_("Done")),
}

ALIASES = {"open": "ringing", "oncall": "on_call", "up": "ok", "down": "failed"}


def sign(name: str) -> Sign:
    """Answer how the state `name` looks; one we do not know is shown by its own name, in grey."""
    return SIGNS.get(ALIASES.get(name, name)) or Sign("idle", "question-mark", name)
