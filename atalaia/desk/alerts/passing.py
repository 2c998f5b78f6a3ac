"""A notice that one channel cannot tell is left to another: what it is about, and who tells it instead."""

from __future__ import annotations

from sqlalchemy import Connection, or_, select, update

from atalaia.desk.alerts.channels import Channel, list_channels, quiet_until
from atalaia.desk.alerts.outbox import House, is_held, new_row, tell
from atalaia.desk.alerts.queries import Notice
from atalaia.store.alert_tables import alert_notices, incident_members, incidents
from atalaia.store.upsert import insert_new


def about(tx: Connection, one: Notice) -> tuple[str, ...]:
    """Answer the connections a notice is about: of an alert that stands those that suffer, else all."""
    member, notices = incident_members.c, alert_notices.c
    alerts = [one.incident]
    if one.kind == "summary":  # the moment it was made is its number, and when it took the others in
        summed = (notices.channel == one.channel, notices.state == "summed")
        at = notices.done_ms == _number_of(tx, one.id)
        alerts = list(tx.scalars(select(notices.incident).where(*summed, at).distinct()))
    query = select(member.connection).select_from(
        incident_members.join(incidents, incidents.c.id == member.incident)
    )
    suffers = or_(member.resolved_ms.is_(None), incidents.c.resolved_ms.is_not(None))
    query = query.where(member.incident.in_(alerts), member.connection != "", suffers).distinct()
    return tuple(tx.scalars(query.order_by(member.connection)))


def pass_on(tx: Connection, house: House, one: Notice, epoch: int, *, said: str, note: str) -> None:
    """Leave a notice to another channel: to one that tells it anyway, else to the next by name.

    said: why it cannot be told here. note: what the text says of that. With nobody else it is given up.
    """
    now = house.now()
    mine = (alert_notices.c.id == one.id, alert_notices.c.state == "sending", alert_notices.c.epoch == epoch)
    other, tells = _next_channel(tx, one)
    values = {"state": "passed" if other else "failed", "error": said, "done_ms": now, "next_ms": None}
    if not tx.execute(update(alert_notices).where(*mine).values(values)).rowcount:
        return
    if other is None:
        tell(tx, house.ambient, one, "failed", said)
        return
    if not tells:
        row = tx.execute(select(alert_notices).where(alert_notices.c.id == one.id)).mappings().one()
        body = f"{one.body}\n\n{note}"
        fresh = new_row(house, other, one.title, body, now, kind=one.kind, number=now)
        fresh |= {name: row[name] for name in ("incident", "severity", "members")}
        fresh |= {"number": row["number"]} if one.incident else {}
        if quiet_until(other.policy, now) is not None and is_held(other, one.severity):
            fresh |= {"state": "held", "next_ms": None}
        insert_new(tx, alert_notices, fresh)
    tell(tx, house.ambient, one, "passed", said, to=other.id)


def _next_channel(tx: Connection, one: Notice) -> tuple[Channel | None, bool]:
    """Answer who tells it instead, None when there is nobody, and whether he was told already."""
    c = alert_notices.c
    told = {one.channel: "passed"}
    if one.incident:
        same = (c.incident == one.incident, c.kind == one.kind, c.number == _number_of(tx, one.id))
        told |= {row.channel: row.state for row in tx.execute(select(c.channel, c.state).where(*same))}
    grouping = tx.scalar(select(incidents.c.grouping).where(incidents.c.id == one.incident))
    known = [it for it in list_channels(tx) if it.enabled and grouping != f"channel:{it.id}"]
    here = next((place for place, it in enumerate(known) if it.id == one.channel), 0)
    others = [it for it in known[here:] + known[:here] if it.id != one.channel]
    for it in others:
        if told.get(it.id, "passed") not in ("passed", "dropped"):
            return it, True
    return next((it for it in others if it.id not in told), None), False


def _number_of(tx: Connection, notice: str) -> int:
    return tx.scalar(select(alert_notices.c.number).where(alert_notices.c.id == notice)) or 0
