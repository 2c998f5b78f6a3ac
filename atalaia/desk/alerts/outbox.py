"""Notices as rows: planned once and for all, claimed under a lease, tried until they are taken."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, and_, func, or_, select, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.desk.alerts.channels import PRODUCER, Channel, list_channels, quiet_until
from atalaia.desk.alerts.planning import Before, Due, Standing, plan
from atalaia.desk.alerts.queries import (
    Incident,
    Notice,
    get_incident,
    members_of,
    read_incidents,
    read_notice,
)
from atalaia.desk.alerts.sending import Message, Sent
from atalaia.desk.alerts.watching import OPEN_MS, is_folded
from atalaia.desk.alerts.wording import Tongues, notice, summary
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.redact import Redactor
from atalaia.store.alert_tables import alert_notices, incident_members, incidents
from atalaia.store.tables import connections
from atalaia.store.upsert import insert_new

# How long to wait after each try in vain; then each hour, as long as the channel says.
PAUSES_S = (10, 30, 60, 300, 900, 1_800)
PAUSE_MOST_S = 3_600
HOUR_MS = 3_600_000
# Alerts that ended longer ago are told nowhere any more, however long the hub was down.
LOOK_BACK_MS = 2 * 86_400_000
_MOST = 1_000


@dataclass(frozen=True)
class Draft:
    """One notice that has to be written down."""

    channel: Channel
    alert: Incident
    due: Due
    held: bool


@dataclass(frozen=True)
class House:
    """What notices are made of.

    worlds: from a connector to its world. public_url: where people reach the hub, "" when it is not known.
    open_ms: a gap that is open for so long is an alert.
    """

    ambient: Ambient
    redactor: Redactor
    worlds: Mapping[str, str]
    public_url: str = ""
    open_ms: int = OPEN_MS

    def now(self) -> int:
        """Answer the hub's time."""
        return to_ms(self.ambient.clock.now())

    def link(self, alert: str) -> str:
        """Answer the address of an alert's page, "" when the hub does not know its own."""
        return f"{self.public_url}/alerts/{alert}".rstrip("/") if self.public_url else ""


def drafts(tx: Connection, house: House) -> list[Draft]:
    """Answer every notice that is due and not written down yet; none while the fold is behind."""
    channels = [one for one in list_channels(tx) if one.enabled]
    if not channels or not is_folded(tx):
        return []
    now = house.now()
    recent = or_(incidents.c.resolved_ms.is_(None), incidents.c.resolved_ms > now - LOOK_BACK_MS)
    query = select(incidents).where(recent).order_by(incidents.c.opened_ms, incidents.c.id).limit(_MOST)
    found = read_incidents(tx, list(tx.execute(query)), now)
    told = _told(tx, [one.id for one in found])
    concerned = (
        _concerned(tx, house, [one.id for one in found]) if any(_chooses(one) for one in channels) else {}
    )
    made: list[Draft] = []
    for channel in channels:
        quiet = quiet_until(channel.policy, now) is not None
        for alert in found:
            before, number = told.get((channel.id, alert.id), (Before(), False))
            if not before.kinds and not _wants(channel, alert, concerned.get(alert.id, ())):
                continue
            held = quiet and is_held(channel, alert.severity)
            due = plan(_standing(alert), before, channel.policy, now, quiet=held)
            if due is not None:
                # What was not heard of needs no silent night: its end waits for the summary, too.
                made.append(Draft(channel, alert, due, held or (due.kind == "resolved" and number)))
    return made


def write_drafts(tx: Connection, house: House, tongues: Tongues) -> int:
    """Write down what is due, and the summaries of quiet hours that are over; answer how many notices."""
    now = house.now()
    names = {row.id: row.name for row in tx.execute(select(connections.c.id, connections.c.name))}
    count = 0
    for one in drafts(tx, house):
        tongue = tongues(one.channel.policy.language, ZoneInfo(one.channel.policy.zone), now)
        members = members_of(tx, one.alert.id, limit=20)
        title, body = notice(
            one.alert, members, names, tongue, kind=one.due.kind, now_ms=now, link=house.link(one.alert.id)
        )
        row = new_row(house, one.channel, title, body, now, kind=one.due.kind, number=one.due.number)
        row |= {"incident": one.alert.id, "severity": one.alert.severity, "members": one.alert.standing}
        if one.held:
            row |= {"state": "held", "next_ms": None}
        count += insert_new(tx, alert_notices, row)
    for channel in list_channels(tx):
        if channel.enabled and quiet_until(channel.policy, now) is None:
            count += _sum_up(tx, house, tongues, channel, now)
    return count


def is_due(tx: Connection, house: House) -> bool:
    """Answer whether `write_drafts` would write anything; a look that keeps no writer waiting."""
    if drafts(tx, house):
        return True
    now = house.now()
    held = set(tx.scalars(select(alert_notices.c.channel).where(alert_notices.c.state == "held").distinct()))
    living = (one for one in list_channels(tx) if one.id in held and one.enabled)
    return any(quiet_until(one.policy, now) is None for one in living)


def _sum_up(tx: Connection, house: House, tongues: Tongues, channel: Channel, now: int) -> int:
    """Tell in one notice what quiet hours held back."""
    mine = (alert_notices.c.channel == channel.id, alert_notices.c.state == "held")
    query = select(alert_notices).where(*mine).order_by(alert_notices.c.created_ms, alert_notices.c.id)
    held = [read_notice(row) for row in tx.execute(query)]
    if not held:
        return 0
    tx.execute(update(alert_notices).where(*mine).values(state="summed", done_ms=now))
    first = {one.incident: one for one in reversed(held) if one.kind == "raised"}
    told = [
        (one.title, get_incident(tx, one.incident, now)) for one in held if first.get(one.incident) is one
    ]
    if not told:  # only what was told before began: its end is told by itself
        told = [(one.title, get_incident(tx, one.incident, now)) for one in held]
    tongue = tongues(channel.policy.language, ZoneInfo(channel.policy.zone), now)
    title, body = summary(told, tongue, house.link(""))
    row = new_row(house, channel, title, body, now, kind="summary", number=now)
    row["members"] = len(told)
    return int(insert_new(tx, alert_notices, row))


def is_held(channel: Channel, severity: str) -> bool:
    """Answer whether quiet hours of a channel hold back what hurries so much."""
    return not (channel.policy.urgent_passes and severity == "urgent")


def new_row(
    house: House, channel: Channel, title: str, body: str, now: int, *, kind: str, number: int
) -> dict[str, Any]:
    """Answer a notice that waits to be sent, as a row."""
    return {
        "id": house.ambient.ids.new(), "channel": channel.id, "incident": "", "kind": kind, "number": number,
        "state": "pending", "title": house.redactor.text(title), "body": house.redactor.text(body),
        "severity": "warning", "members": 0, "attempts": 0, "epoch": 0, "again": False, "error": "",
        "job": "", "created_ms": now, "next_ms": now, "done_ms": None,
    }  # fmt: skip


# --- sending ---------------------------------------------------------------------------------------


def give_back(tx: Connection, epoch: int) -> int:
    """Return what an earlier worker was sending when it ended; it may come twice, and says so."""
    left = (alert_notices.c.state == "sending", alert_notices.c.epoch < epoch)
    return tx.execute(update(alert_notices).where(*left).values(state="pending", again=True)).rowcount


def give_back_left(tx: Connection, house: House, epoch: int, channels: Collection[str]) -> None:
    """Return what a worker lives to see left, because the database or a defect cut its sending short.

    It is tried again as late as one that was not taken, and says that it may come twice.
    """
    left = (alert_notices.c.state == "sending", alert_notices.c.epoch == epoch)
    query = select(alert_notices.c.id, alert_notices.c.attempts).where(*left)
    for row in tx.execute(query.where(alert_notices.c.channel.in_(channels))).all():
        values = {"state": "pending", "again": True, "next_ms": house.now() + _pause_ms(row.attempts)}
        tx.execute(update(alert_notices).where(alert_notices.c.id == row.id).values(values))


def _pause_ms(attempts: int) -> int:
    return 1_000 * (PAUSES_S[attempts - 1] if attempts <= len(PAUSES_S) else PAUSE_MOST_S)


def drop_restored(tx: Connection, now_ms: int) -> int:
    """Drop what waited when a backup was taken that is restored now: it has been told since, or is stale."""
    open_ = alert_notices.c.state.in_(("held", "pending", "sending"))
    values = {"state": "dropped", "next_ms": None, "done_ms": now_ms}
    return tx.execute(update(alert_notices).where(open_).values(values)).rowcount


def waiting(tx: Connection, now_ms: int) -> list[str]:
    """Answer the channels that have something to send now."""
    due = (alert_notices.c.state == "pending", alert_notices.c.next_ms <= now_ms)
    return list(
        tx.scalars(select(alert_notices.c.channel).where(*due).distinct().order_by(alert_notices.c.channel))
    )


def claim(tx: Connection, channel: str, epoch: int, now_ms: int) -> Notice | None:
    """Take the next notice of a channel that is due: from now on nobody else sends it."""
    due = (
        alert_notices.c.channel == channel,
        alert_notices.c.state == "pending",
        alert_notices.c.next_ms <= now_ms,
    )
    query = select(alert_notices).where(*due).order_by(alert_notices.c.created_ms, alert_notices.c.id)
    row = tx.execute(query.limit(1).with_for_update()).first()
    if row is None:
        return None
    values = {"state": "sending", "epoch": epoch, "attempts": row.attempts + 1}
    tx.execute(update(alert_notices).where(alert_notices.c.id == row.id).values(values))
    return read_notice(tx.execute(select(alert_notices).where(alert_notices.c.id == row.id)).one())


def settle(
    tx: Connection, house: House, one: Notice, epoch: int, *, ok: bool, said: str, retry_h: int, job: str = ""
) -> None:
    """Write down how a try went; what was not taken is tried again later, for `retry_h` hours."""
    now = house.now()
    values: dict[str, Any] = {"error": "" if ok else said, "done_ms": now, "next_ms": None, "job": job}
    if ok:
        values["state"] = "sent"
    elif now - one.created_ms >= retry_h * HOUR_MS:
        values["state"] = "failed"
    else:
        values |= {"state": "pending", "done_ms": None, "next_ms": now + _pause_ms(one.attempts)}
    mine = (alert_notices.c.id == one.id, alert_notices.c.state == "sending", alert_notices.c.epoch == epoch)
    if (
        tx.execute(update(alert_notices).where(*mine).values(values)).rowcount
        and values["state"] != "pending"
    ):
        tell(tx, house.ambient, one, str(values["state"]), str(values["error"]))


_FACTS = {
    "sent": "alert.notified", "passed": "alert.notice_passed", "failed": "alert.notice_failed",
    "returned": "alert.notice_returned",
}  # fmt: skip


def tell(tx: Connection, ambient: Ambient, one: Notice, state: str, error: str, *, to: str = "") -> None:
    """State the fact that a notice was sent, left to another channel, given up, or came back."""
    data = {
        "notice": one.id, "channel": one.channel, "kind": one.kind, "title": one.title,
        "attempts": one.attempts,
    }  # fmt: skip
    more = {} if state == "sent" else {"error": error} | ({"to": to} if to else {})
    fact = Fact(_FACTS[state], one.incident or one.channel, to_ms(ambient.clock.now()), data | more)
    append_facts(tx, ambient, PRODUCER, [fact])


def note_test(
    tx: Connection, ambient: Ambient, channel: Channel, message: Message, now: int, sent: Sent
) -> None:
    """List a test among the notices of its channel."""
    row = {
        "id": message.id, "channel": channel.id, "incident": "", "kind": "test",
        "number": int(message.id[-12:], 16),  # two within one moment are two
        "state": "sent" if sent.ok else "failed", "title": message.title, "body": message.body,
        "severity": message.severity, "members": 0, "attempts": 1, "epoch": 0, "again": False,
        "error": sent.said, "job": sent.job, "created_ms": now, "next_ms": None,
        "done_ms": to_ms(ambient.clock.now()),
    }  # fmt: skip
    if insert_new(tx, alert_notices, row):
        one = read_notice(tx.execute(select(alert_notices).where(alert_notices.c.id == message.id)).one())
        tell(tx, ambient, one, one.state, one.error)


# --- what planning is told -------------------------------------------------------------------------


def _standing(alert: Incident) -> Standing:
    return Standing(
        alert.opened_ms, alert.resolved_ms, alert.over_ms, alert.flapping, alert.turns, alert.standing,
        alert.severity, alert.silence is not None, alert.ack is not None,
    )  # fmt: skip


def _told(tx: Connection, alerts: Sequence[str]) -> dict[tuple[str, str], tuple[Before, bool]]:
    """Answer by channel and alert what was told, and whether its beginning is held back."""
    c = alert_notices.c
    query = select(
        c.channel, c.incident, c.kind, func.count().label("n"), func.max(c.members).label("most"),
        func.max(c.created_ms).label("last_ms"),
        func.max(and_(c.kind == "raised", c.state == "held").cast(c.attempts.type)).label("held"),
    ).where(c.incident.in_(alerts), c.state != "dropped")  # fmt: skip
    told: dict[tuple[str, str], tuple[Before, bool]] = {}
    for row in tx.execute(query.group_by(c.channel, c.incident, c.kind)):
        before, held = told.get((row.channel, row.incident), (Before(), False))
        told[row.channel, row.incident] = (
            Before(
                before.kinds | {row.kind}, row.n if row.kind == "reminder" else before.reminders,
                max(before.most, row.most), max(before.last_ms, row.last_ms),
            ),
            held or bool(row.held),
        )  # fmt: skip
    return told


def _chooses(channel: Channel) -> bool:
    return bool(channel.policy.worlds or channel.policy.connections)


def _wants(channel: Channel, alert: Incident, concerned: Sequence[tuple[str, str]]) -> bool:
    """Answer whether the channel tells of this alert. concerned: (connection, world) of its members."""
    policy = channel.policy
    if alert.opened_ms < channel.since_ms or alert.grouping == f"channel:{channel.id}":
        return False
    if policy.severity == "urgent" and alert.severity != "urgent":
        return False
    if not _chooses(channel):
        return True
    return any(
        (not policy.connections or connection in policy.connections)
        and (not policy.worlds or world in policy.worlds)
        for connection, world in concerned
    )


def _concerned(tx: Connection, house: House, alerts: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    member = incident_members.c
    joined = incident_members.join(connections, connections.c.id == member.connection)
    query = select(member.incident, member.connection, connections.c.connector).select_from(joined)
    found: dict[str, list[tuple[str, str]]] = {}
    for row in tx.execute(query.where(member.incident.in_(alerts)).distinct()):
        found.setdefault(row.incident, []).append((row.connection, house.worlds.get(row.connector, "")))
    return found
