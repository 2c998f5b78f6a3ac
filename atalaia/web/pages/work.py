"""What the screens say of jobs: their titles, what they are about, their steps, and facts in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import orjson

from atalaia.connectors import CONNECTORS
from atalaia.connectors.connector import Connector
from atalaia.events.model import Event
from atalaia.jobs.model import JobKind
from atalaia.jobs.queries import Job, Step
from atalaia.web.i18n import N_, gettext, ngettext
from atalaia.web.pages.job_words import step_word
from atalaia.web.said import said
from atalaia.web.show import duration, number
from atalaia.web.states import sign

if TYPE_CHECKING:
    from atalaia.web.pages.telling import Names

Line = tuple[str, str, str, str, str]

# What a job is about, as far as its parameters say it; the first that is filled is shown.
_SUBJECTS = ("plate", "license_nmbr", "vehicle_id", "serial", "inner_id", "client_name", "client_id", "key")

STEP_KINDS = {
    "read": (N_("reads"), N_("Only looks: it may be repeated freely.")),
    "idempotent": (N_("repeatable"), N_("Sent again with the same words, it still happens once.")),
    "ask": (N_("asks"), N_("Waits for a person's choice.")),
    "sleep": (N_("waits"), N_("A pause; a job that is resumed waits only for what is left.")),
    "unsafe": (N_("unsafe"), N_("Never sent twice on our own: without an answer it becomes in doubt.")),
}

# Words that connectors offer as choices of a question.
CHOICES = {
    "approve": N_("Approve"),
    "approve_anyway": N_("Approve anyway"),
    "check_again": N_("Check again"),
    "refuse": N_("Refuse"),
    "refresh": N_("Read again"),
    "reject": N_("Reject"),
    "cancel": N_("Cancel"),
    "retry": N_("Try again"),
    "yes": N_("Yes"),
    "no": N_("No"),
    "continue": N_("Go on"),
    "stop": N_("Stop"),
    "none": N_("None of them"),
}

# Quantities of which a complete reading holds a value.
QUANTITIES = {
    "total_fuel_used": N_("total fuel used"),
    "fuel_level": N_("fuel level"),
    "fuel_rate": N_("fuel rate"),
    "oil_pressure": N_("oil pressure"),
    "oil_temperature": N_("oil temperature"),
    "coolant_temperature": N_("coolant temperature"),
    "fuel_temperature": N_("fuel temperature"),
    "vehicle_distance": N_("distance"),
    "analog_input_3": N_("analog input 3"),
    "rpm": N_("engine speed"),
}

DECISIONS = {
    "happened": N_("It happened"),
    "again": N_("It did not: run again"),
    "cancel": N_("Cancel the job"),
}


def kind_of(kind: str, connectors: Mapping[str, Connector] = CONNECTORS) -> JobKind | None:
    """Answer what `<connector>.<kind>` declares, None when nothing installed here does."""
    name, _, rest = kind.partition(".")
    connector = connectors.get(name)
    return next((one for one in connector.jobs if one.name == rest), None) if connector else None


def kind_title(kind: str, connectors: Mapping[str, Connector] = CONNECTORS) -> str:
    """Answer how a kind of job is called in the view's language; its own name when nobody declares it."""
    found = kind_of(kind, connectors)
    return gettext(found.title) if found else kind.rpartition(".")[2].replace("_", " ") or gettext("Job")


def subject_of(params: Mapping[str, Any]) -> str:
    """Answer what a job is about in a few characters, "" when its parameters do not say."""
    for name in _SUBJECTS:
        value = params.get(name)
        if isinstance(value, str | int) and str(value).strip():
            return str(value).strip()[:80]
    return ""


def job_sign(state: str) -> str:
    """Answer the name under which `states.SIGNS` knows a job's state; `waiting` there is a connection's."""
    return "asking" if state == "waiting" else state


def step_sign(step: Step) -> str:
    """Answer the name of a step's sign: an unsafe one that left and has no answer yet says so."""
    if step.state == "started":
        return "sent" if step.sent_ms is not None else "started"
    return step.state


def quantity_word(name: str) -> str:
    """Answer a quantity in words; one that we do not know is shown as it is."""
    return gettext(QUANTITIES[name]) if name in QUANTITIES else name.replace("_", " ")


def quantity_words(names: Iterable[str]) -> list[str]:
    """Answer quantities in words."""
    return [quantity_word(name) for name in names]


def step_error(error: str) -> str:
    """Answer what went wrong in a step as a sentence; it is kept as one, or as {"said": …}."""
    if not error.startswith("{"):
        return said(error)
    try:
        told: Any = orjson.loads(error)
    except orjson.JSONDecodeError:
        return error
    return said(str(told.get("said") or told.get("reason") or error))


def choice_word(choice: str) -> str:
    """Answer a choice in words; one that we do not know is shown as it is."""
    return gettext(CHOICES[choice]) if choice in CHOICES else choice.replace("_", " ")


def job_told(job: Job) -> str:
    """Answer in one sentence how a job stands: what it asks, what it said last, or why it ended so."""
    if job.state == "waiting" and job.asked:
        return gettext(job.asked.question) if job.asked.question else ""
    if job.state in ("in_doubt", "failed", "cancelled", "expired"):
        return said(job.said) or job.reason
    if job.state == "running":
        return commands_told(job) or said(str(job.progress.get("said") or "")) or said(job.said)
    return said(job.said)


def commands_told(job: Job) -> str:
    """Answer how many commands of how many a unit has taken, "" when the job does not count any."""
    done, total = job.progress.get("acknowledged"), job.progress.get("total")
    if not isinstance(done, int) or not isinstance(total, int) or not total:
        return ""
    return gettext("%(done)s of %(total)s commands") % {"done": number(done), "total": number(total)}


def tell_job(event: Event, data: dict[str, Any], names: Names) -> Line:
    """Say a fact about a job."""
    word = event.type.partition(".")[2]
    title = kind_title(str(data.get("kind") or ""))
    params = cast("dict[str, Any]", data.get("params") or {})
    about = names.plates.get((event.connection, str(params.get("vehicle_id") or ""))) or subject_of(params)
    place = f"{title} · {about}" if about else title
    href = f"/jobs/{quote(event.key)}"
    if word == "step_done":
        step = step_word(str(data.get("step") or ""))
        text = gettext("%(job)s: %(step)s, done") % {"job": place, "step": step.lower()}
        return "check", "idle", text, str(duration(data.get("took_ms"))), href
    if word == "step_failed":
        text = gettext("%(job)s: step %(step)s failed") % {"job": place, "step": data.get("step") or ""}
        return "x", "bad", text, said(str(data.get("said") or "")), href
    if word == "returned":
        text = gettext("%(job)s waits for its turn again") % {"job": place}
        return "arrow-back-up", "info", text, said(str(data.get("said") or "")), href
    if word == "progressed":
        return "progress", "info", f"{place}: {_percent(data)}", said(str(data.get("said") or "")), href
    if word == "probed":
        text = gettext("%(job)s: its trace was looked for") % {"job": place}
        return "search", "ask", text, said(str(data.get("said") or "")), href
    if word == "decided":
        choice = str(data.get("choice") or "")
        shown = gettext(DECISIONS[choice]) if choice in DECISIONS else choice_word(choice)
        text = gettext("%(job)s was decided: %(choice)s") % {"job": place, "choice": shown}
        return "user-check", "info", text, _by(data), href
    if word == "retried":
        text = gettext("%(job)s runs again") % {"job": place}
        return "repeat", "info", text, _join(said(str(data.get("reason") or "")), _by(data)), href
    looks = sign({"asked": "asking", "started": "running"}.get(word, word))
    text = gettext("%(job)s: %(word)s") % {"job": place, "word": looks.said.lower()}
    told = said(str(data.get("said") or data.get("question") or ""))
    return looks.icon, looks.tone, text, _join(told, _by(data)), href


def tell_process(event: Event, data: dict[str, Any], names: Names) -> Line:
    """Say a fact about a process that an upstream runs in a vehicle."""
    vehicle = str(data.get("vehicle_id") or "")
    href = f"/vehicles/{quote(vehicle)}?connection={quote(event.connection)}" if vehicle else ""
    values = {"process": event.key, "vehicle": names.vehicle(event.connection, vehicle)}
    match event.type:
        case "process.queued":
            title = gettext("Process %(process)s was queued for vehicle %(vehicle)s") % values
            return "hourglass", "info", title, "", href
        case "process.progressed":
            title = gettext("Process %(process)s of vehicle %(vehicle)s") % values
            return "progress", "info", f"{title}: {_percent(data)}", "", href
        case "process.key_acknowledged":
            title = gettext("Vehicle %(vehicle)s has taken the key of process %(process)s") % values
            return "key", "info", title, str(data.get("configuration_key") or ""), href
        case "process.confirmed":
            title = gettext("Process %(process)s is confirmed by the vehicle's key") % values
            return "shield-check", "good", title, str(data.get("configuration_key") or ""), href
        case _:
            looks = sign(outcome_sign(str(data.get("outcome") or "unknown")))
            title = gettext("Process %(process)s of vehicle %(vehicle)s ended") % values
            return looks.icon, looks.tone, f"{title}: {looks.said.lower()}", "", href


def tell_vehicle(event: Event, data: dict[str, Any], names: Names) -> Line:
    """Say a fact about a vehicle."""
    href = f"/vehicles/{quote(event.key)}?connection={quote(event.connection)}"
    called = names.vehicle(event.connection, event.key)
    if event.type == "vehicle.connection_changed":
        looks = sign("connected" if data.get("connected") else "silent")
        title = gettext("Vehicle %(vehicle)s: %(word)s") % {
            "vehicle": called,
            "word": looks.said.lower(),
        }
        return looks.icon, looks.tone, title, "", href
    if event.type == "vehicle.parameters_seen":
        seen: Any = data.get("parameters")
        n = len(cast("dict[str, Any]", seen)) if isinstance(seen, dict) else 0
        title = ngettext("Vehicle %(vehicle)s told %(n)s value", "Vehicle %(vehicle)s told %(n)s values", n)
        return "gauge", "idle", title % {"vehicle": called, "n": number(n)}, "", href
    if event.type == "vehicle.modules_read":
        rows = data.get("rows")
        title = gettext("The modules of vehicle %(vehicle)s were read") % {"vehicle": called}
        told = gettext("%(n)s rows") % {"n": number(rows if isinstance(rows, int) else 0)}
        whole = "" if data.get("complete") else gettext("incomplete")
        return "apps", "idle", title, _join(told, whole), href
    return "truck", "idle", gettext("Vehicle %(vehicle)s was read") % {"vehicle": called}, "", href


def outcome_sign(outcome: str) -> str:
    """Answer the sign of a process's outcome."""
    return {"completed_unconfirmed": "unconfirmed"}.get(outcome, outcome)


def _percent(data: Mapping[str, Any]) -> str:
    told = data.get("percent")
    return f"{number(round(float(told), 1))}\u00a0%" if isinstance(told, int | float) else "—"


def _by(data: Mapping[str, Any]) -> str:
    by: Any = data.get("by")
    name = str(cast("dict[str, Any]", by).get("name") or "") if isinstance(by, dict) else str(by or "")
    return gettext("by %(name)s") % {"name": name} if name else ""


def _join(*texts: str) -> str:
    return " · ".join(text for text in texts if text)
