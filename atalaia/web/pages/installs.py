"""What the screens say of installations: their words, signs, and what people did to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from atalaia.desk.installations.state import ERRORS, Standing
from atalaia.events.model import Event
from atalaia.web.i18n import N_, gettext
from atalaia.web.said import said

if TYPE_CHECKING:
    from atalaia.web.pages.telling import Names

Line = tuple[str, str, str, str, str]

WORDS = {
    "HTML5_RUNNING": N_("Portal under way"),
    "HTML5_ERROR": N_("Portal failed"),
    "HTML5_DONE": N_("Portal done"),
    "SB_RUNNING": N_("Scheme under way"),
    "SB_ERROR": N_("Scheme failed"),
    "SB_DONE": N_("Scheme done"),
    "CAN_RUNNING": N_("CAN check under way"),
    "CAN_ERROR": N_("CAN check failed"),
    "WAITING_APPROVAL": N_("Waits for approval"),
    "GS_RUNNING": N_("G-sensor under way"),
    "GS_ERROR": N_("G-sensor failed"),
    "SAVE_ERROR": N_("Record failed"),
    "COMPLETED": N_("Completed"),
    "CANCELLED": N_("Cancelled"),
    "UNKNOWN": N_("Unknown"),
}

SERVICES = {
    "INSTALL": N_("Installation"),
    "UNINSTALL": N_("Removal"),
    "MAINT_WITH_SWAP": N_("Maintenance with swap"),
    "MAINT_NO_SWAP": N_("Maintenance without swap"),
}

HINTS = {
    "INSTALL": N_("A unit is put into a vehicle."),
    "UNINSTALL": N_("The unit is taken out and parked in stock."),
    "MAINT_WITH_SWAP": N_("Another unit takes the place of the one in the vehicle."),
    "MAINT_NO_SWAP": N_("The unit stays: check its CAN, or end without a check."),
}

VERDICTS = {
    "ok": ("good", "check", N_("works")),
    "worked": ("bad", "alert-triangle", N_("worked once, not now")),
    "failed": ("bad", "x", N_("never worked")),
    "off": ("idle", "minus", N_("not active")),
    "missing": ("idle", "minus", N_("not there")),
    "unknown": ("idle", "question-mark", N_("not known yet")),
}

SCHEMES = {
    "ok": ("good", "shield-check", N_("Scheme in the portal: as meant")),
    "mismatch": ("bad", "alert-triangle", N_("Scheme in the portal: %(assigned)s, not %(meant)s")),
    "unknown": ("idle", "question-mark", N_("Scheme in the portal: not known")),
    "excluded": ("idle", "minus", N_("Scheme in the portal: not looked at after a removal")),
}

ACTS = {
    "created": ("plus", "info", N_("Installation asked for: %(plate)s")),
    "approved": ("user-check", "good", N_("CAN check approved: %(plate)s")),
    "refused": ("user-off", "bad", N_("CAN check refused: %(plate)s")),
    "refreshed": ("repeat", "info", N_("CAN check asked for again: %(plate)s")),
    "can_started": ("player-play", "info", N_("CAN check begun: %(plate)s")),
    "completed": ("check", "good", N_("Completed without a check: %(plate)s")),
    "retried": ("repeat", "info", N_("Run again: %(plate)s")),
    "cancelled": ("ban", "idle", N_("Called off: %(plate)s")),
    "photo_added": ("photo", "idle", N_("Photo added: %(plate)s")),
    "export_asked": ("send", "info", N_("Export asked for again: %(plate)s")),
}

CATALOG_NAMES = {
    "clients": N_("Clients"),
    "schemes": N_("Schemes"),
    "models": N_("Models"),
    "technicians": N_("Technicians"),
    "mounts": N_("G-sensor pairs"),
    "labels": N_("Labels"),
}


def word_of(word: str) -> str:
    """Answer a state in the view's language."""
    return gettext(WORDS[word]) if word in WORDS else word


def sign_of(at: Standing) -> str:
    """Answer the name of a state's sign."""
    if at.needs in ("approval", "choice"):
        return "asking"
    if at.needs == "decision":
        return "in_doubt"
    return sign_of_word(at.word)


def sign_of_word(word: str) -> str:
    """Answer the sign of a word alone."""
    if word in ERRORS:
        return "failed"
    known = {
        "COMPLETED": "done",
        "CANCELLED": "cancelled",
        "UNKNOWN": "unknown",
        "WAITING_APPROVAL": "asking",
    }
    return known.get(word, "running")


def service_word(service: str) -> str:
    """Answer a service in words."""
    return gettext(SERVICES[service]) if service in SERVICES else service


def catalog_name(catalog: str) -> str:
    """Answer how a catalog is called."""
    return gettext(CATALOG_NAMES[catalog]) if catalog in CATALOG_NAMES else catalog


def tell_installation(event: Event, data: dict[str, Any], names: Names) -> Line:
    """Say what somebody did to an installation."""
    word = event.type.partition(".")[2]
    href = f"/installations/{quote(event.key)}"
    if word == "scheme_verified" and (seen := verified_of(event)) is not None:
        return seen.icon, seen.tone, seen.text, _join(str(data.get("plate") or ""), seen.why), href
    icon, tone, text = ACTS.get(word, ("circle-dot", "idle", "%(plate)s"))
    if word == "approved" and data.get("override"):
        icon, tone, text = "alert-triangle", "ask", N_("CAN check approved against what it shows: %(plate)s")
    title = (gettext(text) if text != "%(plate)s" else text) % {"plate": data.get("plate") or ""}
    told = str(data.get("reason") or data.get("name") or data.get("destination") or "")
    return icon, tone, title, _join(told, _by(data)), href


@dataclass(frozen=True, slots=True)
class Verified:
    """What the portal last showed of a vehicle's scheme. resent: the job that sent it again, "" for none."""

    tone: str
    icon: str
    text: str
    why: str
    at_ms: int
    resent: str


def verified_of(event: Event | None) -> Verified | None:
    """Read `installation.scheme_verified`; in the language of the view being drawn."""
    if event is None:
        return None
    data: dict[str, Any] = orjson.loads(event.body)
    tone, icon, text = SCHEMES.get(str(data.get("verdict")), SCHEMES["unknown"])
    values = {name: str(data.get(name) or "—") for name in ("assigned", "meant")}
    why, resent = said(str(data.get("why") or "")), str(data.get("resent") or "")
    return Verified(tone, icon, gettext(text) % values, why, event.occurred_ms, resent)


def tell_catalog(event: Event, data: dict[str, Any], names: Names) -> Line:
    """Say what changed in a catalog."""
    count = data.get("count")
    title = gettext("Catalog changed: %(catalog)s, %(n)s entries") % {
        "catalog": catalog_name(event.key),
        "n": count if isinstance(count, int) else 0,
    }
    told = _join(str(data.get("key") or ""), str(data.get("source") or ""), _by(data))
    return "edit", "idle", title, told, f"/catalogs/{quote(event.key)}"


def _by(data: dict[str, Any]) -> str:
    name = str(data.get("by") or "")
    return gettext("by %(name)s") % {"name": name} if name else ""


def _join(*texts: str) -> str:
    return " · ".join(text for text in texts if text)
