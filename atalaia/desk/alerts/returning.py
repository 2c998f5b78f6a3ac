"""A notice whose message WhatsApp reports as failed was told to nobody: it comes back and is sent anew."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from atalaia.desk.alerts import receipts
from atalaia.desk.alerts.channels import SESSION, list_channels
from atalaia.desk.alerts.outbox import House, tell
from atalaia.desk.alerts.queries import Notice, read_notice
from atalaia.store.alert_tables import alert_notices

# What was told longer ago is not told again: whoever looks sees it on the screen.
LOOK_BACK_MS = 86_400_000


def undelivered(tx: Connection, now_ms: int) -> list[Notice]:
    """Answer the notices that count as told, though their message is reported as failed."""
    channels = [one.id for one in list_channels(tx) if one.kind == SESSION]
    if not channels:
        return []
    c = alert_notices.c
    query = select(alert_notices).where(c.channel.in_(channels), c.created_ms > now_ms - LOOK_BACK_MS)
    query = query.where(c.state == "sent", c.job != "", c.kind != "test").order_by(c.created_ms, c.id)
    sent = [read_notice(row) for row in tx.execute(query)]
    bad = receipts.failed(tx, [one.job for one in sent])
    return [one for one in sent if one.job in bad]


def take_back(tx: Connection, house: House) -> None:
    """Let them be sent anew at once: by another session, else by another channel."""
    now = house.now()
    values = {"state": "pending", "error": receipts.NOT_DELIVERED, "done_ms": None, "next_ms": now}
    for one in undelivered(tx, now):
        tx.execute(update(alert_notices).where(alert_notices.c.id == one.id).values(values))
        tell(tx, house.ambient, one, "returned", receipts.NOT_DELIVERED)
