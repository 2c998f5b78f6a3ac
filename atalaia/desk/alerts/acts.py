"""What people do about an alert: take it, or silence it; each is a fact, and each can be taken back."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, update

from atalaia.ambient import Ambient
from atalaia.clock import rfc3339, to_ms
from atalaia.connections.queries import names
from atalaia.desk.alerts.channels import PRODUCER
from atalaia.desk.alerts.queries import Incident, Silence, get_incident, get_silence
from atalaia.desk.people.model import By, NotAllowed
from atalaia.desk.words import N_
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.store.alert_tables import alert_acks, alert_silences
from atalaia.store.store import serialise
from atalaia.store.upsert import insert_new

REASON_CHARS_MAX = 500
SILENCE_MS_MAX = 30 * 86_400_000


def acknowledge(tx: Connection, ambient: Ambient, incident: str, *, by: By, note: str = "") -> Incident:
    """Take an alert: it is not told again, and others see who looks after it. Twice is once.

    Errors: `NotAllowed` when there is no such alert, or its note is too long.
    """
    serialise(tx)
    now = to_ms(ambient.clock.now())
    alert = _known(tx, incident, now)
    _short(note, "note")
    row = {"incident": incident, "by": by.name or by.kind, "note": note.strip(), "at_ms": now}
    if insert_new(tx, alert_acks, row):
        data = {"title": alert.title, "note": note.strip(), "by": by.as_data()}
        append_facts(tx, ambient, PRODUCER, [Fact("alert.acknowledged", incident, now, data)])
    return _known(tx, incident, now)


def unacknowledge(tx: Connection, ambient: Ambient, incident: str, *, by: By) -> Incident:
    """Give an alert back: nobody looks after it. Errors: `NotAllowed` when there is no such alert."""
    serialise(tx)
    now = to_ms(ambient.clock.now())
    alert = _known(tx, incident, now)
    if tx.execute(delete(alert_acks).where(alert_acks.c.incident == incident)).rowcount:
        data = {"title": alert.title, "by": by.as_data()}
        append_facts(tx, ambient, PRODUCER, [Fact("alert.unacknowledged", incident, now, data)])
    return _known(tx, incident, now)


def silence(
    tx: Connection, ambient: Ambient, incident: str, *, reason: str, until_ms: int, by: By
) -> Silence:
    """Tell nobody of this alert, and of later ones with the same cause, until then. It stays on screen.

    Errors: `NotAllowed` when there is no such alert, no reason is given, or the end is not within 30 days.
    """
    serialise(tx)
    alert = _known(tx, incident, to_ms(ambient.clock.now()))
    about = {"grouping": alert.grouping, "incident": incident, "connection": ""}
    return _silence(tx, ambient, about, alert.title, reason, until_ms, by)


def silence_connection(
    tx: Connection, ambient: Ambient, connection: str, *, reason: str, until_ms: int, by: By
) -> Silence:
    """Tell nobody of alerts that are about this connection, or about silenced ones alone, until then.

    Errors: `NotAllowed` when there is no such connection, and as for `silence`.
    """
    serialise(tx)
    name = names(tx).get(connection)
    if name is None:
        raise NotAllowed(N_("There is no such connection."), field="connection")
    about = {"grouping": "", "incident": "", "connection": connection}
    return _silence(tx, ambient, about, name, reason, until_ms, by)


def _silence(
    tx: Connection, ambient: Ambient, about: dict[str, str], title: str, reason: str, until_ms: int, by: By
) -> Silence:
    now, identity = to_ms(ambient.clock.now()), ambient.ids.new()
    _short(reason, "reason")
    if not reason.strip():
        raise NotAllowed(N_("Say why, for who looks at it later."), field="reason")
    if not now < until_ms <= now + SILENCE_MS_MAX:
        raise NotAllowed(N_("Choose an end within the next 30 days."), field="until")
    row = {
        "id": identity, "reason": reason.strip(), "by": by.name or by.kind, "from_ms": now,
        "until_ms": until_ms, "ended_ms": None, **about,
    }  # fmt: skip
    tx.execute(insert(alert_silences).values(row))
    data = {
        "title": title, "silence": identity, "reason": reason.strip(), "until": rfc3339(until_ms),
        "by": by.as_data(),
    }  # fmt: skip
    fact = Fact("alert.silenced", about["incident"] or about["connection"], now, data)
    append_facts(tx, ambient, PRODUCER, [fact], connection=about["connection"])
    found = get_silence(tx, identity)
    assert found is not None
    return found


def unsilence(tx: Connection, ambient: Ambient, identity: str, *, by: By) -> Silence:
    """End a silence before its time: what still stands is told now.

    Errors: `NotAllowed` when there is no such silence.
    """
    serialise(tx)
    now = to_ms(ambient.clock.now())
    found = get_silence(tx, identity)
    if found is None:
        raise NotAllowed("There is no such silence.")
    open_ = (alert_silences.c.id == identity, alert_silences.c.ended_ms.is_(None))
    if (
        found.until_ms > now
        and tx.execute(update(alert_silences).where(*open_).values(ended_ms=now)).rowcount
    ):
        data = {"silence": identity, "reason": found.reason, "by": by.as_data()}
        fact = Fact("alert.unsilenced", found.incident or found.connection, now, data)
        append_facts(tx, ambient, PRODUCER, [fact], connection=found.connection)
    return get_silence(tx, identity) or found


def _known(tx: Connection, incident: str, now_ms: int) -> Incident:
    found = get_incident(tx, incident, now_ms)
    if found is None:
        raise NotAllowed("There is no such alert. It may be too old to be kept; look at the list.")
    return found


def _short(text: str, field: str) -> None:
    if len(text) > REASON_CHARS_MAX:
        raise NotAllowed(N_("Write at most 500 characters."), field=field)
