"""Channels: where alerts are told, in whose words, which ones, and when not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Any, cast
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from sqlalchemy import Connection, Row, insert, select, update

from atalaia.ambient import Ambient
from atalaia.clock import from_ms, to_ms
from atalaia.desk.alerts.kinds import SEVERITIES
from atalaia.desk.people.model import By, NotAllowed
from atalaia.desk.words import N_
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.redact import Redactor
from atalaia.secretbox import SecretBox
from atalaia.store.alert_tables import alert_channels, alert_notices
from atalaia.store.store import serialise

PRODUCER = "alerts"
NAME_CHARS_MAX = 120
PLACE_CHARS_MAX = 2_000
HOLD_S_MAX, RETRY_H_MAX = 3_600, 168
_LISTS = ("worlds", "connections")
_UNTOLD = ("changed_ms", "since_ms", "hint", "kind")  # follow from what is told
LANGUAGES = ("pt_BR", "en")
SESSION = "session"  # the kind of channel that tells by sessions of our own, and its addresses' scheme
# So much of an address is worth hiding: shorter parts are words such as `to` or a port.
_SECRET_CHARS_MIN = 12
# Services whose host and path are an address that people may see; elsewhere those are tokens.
_OPEN_HOSTS = frozenset(
    {
        "json",
        "jsons",
        "xml",
        "xmls",
        "form",
        "forms",
        "mailto",
        "mailtos",
        "ntfy",
        "ntfys",
        "gotify",
        "gotifys",
    }
)


@dataclass(frozen=True, slots=True)
class Policy:
    """Which alerts a channel tells, how, and when not.

    severity: the least that is told: `urgent`, or `warning` for all. worlds, connections: empty for all.
    quiet_from, quiet_to: `HH:MM` in the channel's zone, both empty for none; in between nothing is sent but
    what is urgent, if `urgent_passes`, and one summary tells the rest afterwards.
    repeat_min: minutes after which an alert that stands and that nobody has taken is told again; 0 = never.
    hold_s: what comes and goes within so many seconds is on the screen and tells nobody.
    retry_h: for so many hours a notice that is not taken is tried again.
    """

    severity: str = "warning"
    worlds: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    language: str = "pt_BR"
    zone: str = "America/Sao_Paulo"
    quiet_from: str = ""
    quiet_to: str = ""
    urgent_passes: bool = True
    repeat_min: int = 240
    hold_s: int = 20
    retry_h: int = 24

    def to_json(self) -> dict[str, Any]:
        """Answer it as it is stored and shown."""
        return {name: _plain(getattr(self, name)) for name in Policy.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Channel:
    """One place where alerts are told; `sealed` is where, encrypted. hint: the kind of place, nothing secret.

    since_ms: when it was last switched on: what began before is not told there.
    """

    id: str
    name: str
    kind: str
    hint: str
    enabled: bool
    policy: Policy
    since_ms: int
    created_ms: int
    changed_ms: int
    sealed: str


def read_policy(given: Mapping[str, Any], before: Policy | None = None) -> Policy:
    """Check a policy; what is left out stays as before. Errors: `NotAllowed` that names the field."""
    known = Policy.__dataclass_fields__
    if unknown := sorted(set(given) - set(known)):
        raise NotAllowed(f"A channel has no setting {unknown[0]}.", field=unknown[0])
    listed: dict[str, Any] = {name: tuple(one) if name in _LISTS else one for name, one in given.items()}
    policy = replace(before or Policy(), **listed)
    _check(policy.severity in SEVERITIES, "severity", N_("Choose one of the severities."))
    _check(policy.language in LANGUAGES, "language", N_("Choose one of the languages."))
    _check(_is_zone(policy.zone), "zone", N_("There is no such time zone."))
    _check(bool(policy.quiet_from) == bool(policy.quiet_to), "quiet_to", N_("Give both times, or none."))
    for name in ("quiet_from", "quiet_to"):
        _check(
            not getattr(policy, name) or _is_time(getattr(policy, name)), name, N_("Write a time like 22:00.")
        )
    _check(0 <= policy.repeat_min <= 7 * 24 * 60, "repeat_min", N_("Write minutes, at most a week of them."))
    _check(0 <= policy.hold_s <= HOLD_S_MAX, "hold_s", N_("Write seconds, at most an hour of them."))
    _check(1 <= policy.retry_h <= RETRY_H_MAX, "retry_h", N_("Write hours, between 1 and 168."))
    return policy


def quiet_until(policy: Policy, now_ms: int) -> int | None:
    """Answer when the quiet hours that are now end, by the clock on the wall there; None outside of them."""
    if not policy.quiet_from:
        return None
    zone = ZoneInfo(policy.zone)
    now = from_ms(now_ms).astimezone(zone)
    begins, ends = (time.fromisoformat(one) for one in (policy.quiet_from, policy.quiet_to))
    clock = now.time().replace(tzinfo=None)
    if begins <= ends:
        inside, day = begins <= clock < ends, now.date()
    else:
        inside = clock >= begins or clock < ends
        day = now.date() + timedelta(days=1 if clock >= begins else 0)
    return to_ms(datetime.combine(day, ends, zone)) if inside else None


def list_channels(tx: Connection) -> list[Channel]:
    """Answer every channel that is not deleted, by name."""
    query = select(alert_channels).where(alert_channels.c.deleted_ms.is_(None))
    return [_read(row) for row in tx.execute(query.order_by(alert_channels.c.name, alert_channels.c.id))]


def get_channel(tx: Connection, identity: str) -> Channel | None:
    """Answer one channel."""
    query = select(alert_channels).where(
        alert_channels.c.id == identity, alert_channels.c.deleted_ms.is_(None)
    )
    row = tx.execute(query).first()
    return None if row is None else _read(row)


def names(tx: Connection) -> dict[str, str]:
    """Answer the name of every channel there ever was, by id."""
    return {row.id: row.name for row in tx.execute(select(alert_channels.c.id, alert_channels.c.name))}


def create_channel(
    tx: Connection, ambient: Ambient, box: SecretBox, *, name: str, place: str, hint: str,
    policy: Policy, by: By, enabled: bool = True,
) -> Channel:  # fmt: skip
    """Make a channel. place: an Apprise address, or `SessionPlace`; kept encrypted. Errors: `NotAllowed`."""
    serialise(tx)
    now, identity = to_ms(ambient.clock.now()), ambient.ids.new()
    row = {
        "id": identity, "name": _named(name), "kind": kind_of(place), "sealed": box.seal(_placed(place)),
        "hint": hint[:120], "enabled": enabled, "policy": _dump(policy.to_json()), "since_ms": now,
        "created_ms": now, "changed_ms": now, "deleted_ms": None,
    }  # fmt: skip
    tx.execute(insert(alert_channels).values(row))
    _tell(
        tx,
        ambient,
        "alert.channel_created",
        identity,
        {"name": row["name"], "kind": hint, "by": by.as_data()},
    )
    found = get_channel(tx, identity)
    assert found is not None
    return found


def change_channel(
    tx: Connection, ambient: Ambient, box: SecretBox, identity: str, *, by: By, name: str | None = None,
    place: str | None = None, hint: str | None = None, policy: Policy | None = None,
    enabled: bool | None = None,
) -> Channel:  # fmt: skip
    """Change what is given. Switched on again, it tells what begins from now on. Errors: `NotAllowed`."""
    serialise(tx)
    before = _known(tx, identity)
    now = to_ms(ambient.clock.now())
    values: dict[str, Any] = {"changed_ms": now}
    if name is not None and _named(name) != before.name:
        values["name"] = _named(name)
    if place:
        values |= {"sealed": box.seal(_placed(place)), "hint": (hint or "")[:120], "kind": kind_of(place)}
    if policy is not None and policy != before.policy:
        values["policy"] = _dump(policy.to_json())
    if enabled is not None and enabled != before.enabled:
        values |= {"enabled": enabled, **({"since_ms": now} if enabled else {})}
    tx.execute(update(alert_channels).where(alert_channels.c.id == identity).values(values))
    if enabled is False and before.enabled:
        _drop(tx, identity, now)
    fields = sorted({"sealed": "place"}.get(one, one) for one in values if one not in _UNTOLD)
    if fields:
        data = {"name": values.get("name", before.name), "fields": fields, "by": by.as_data()}
        _tell(tx, ambient, "alert.channel_changed", identity, data)
    return _known(tx, identity)


def delete_channel(tx: Connection, ambient: Ambient, identity: str, *, by: By) -> None:
    """Delete a channel with its address; what waited for it is dropped, what was sent stays listed.

    Errors: `NotAllowed` when there is none.
    """
    serialise(tx)
    before = _known(tx, identity)
    now = to_ms(ambient.clock.now())
    gone = {"deleted_ms": now, "sealed": "", "enabled": False}
    tx.execute(update(alert_channels).where(alert_channels.c.id == identity).values(gone))
    _drop(tx, identity, now)
    _tell(tx, ambient, "alert.channel_deleted", identity, {"name": before.name, "by": by.as_data()})


def _drop(tx: Connection, channel: str, now: int) -> None:
    mine = (alert_notices.c.channel == channel, alert_notices.c.state.in_(("held", "pending")))
    tx.execute(update(alert_notices).where(*mine).values(state="dropped", next_ms=None, done_ms=now))


class NotAPlace(NotAllowed):
    """The address names no session, or nobody to tell."""


@dataclass(frozen=True, slots=True)
class SessionPlace:
    """By which sessions of our own a channel tells, the first that can, and to whom: a number or an id."""

    sessions: tuple[str, ...]
    to: str

    def __str__(self) -> str:
        return f"{SESSION}://{','.join(self.sessions)}/{self.to}"


def kind_of(place: str) -> str:
    """Answer the kind of channel that an address is for."""
    return SESSION if place.strip().startswith(f"{SESSION}://") else "apprise"


def read_session_place(place: str) -> SessionPlace:
    """Read `session://<connection>,<connection>/<to>`. Errors: `NotAPlace`."""
    named, _, to = place.strip().removeprefix(f"{SESSION}://").partition("/")
    sessions = tuple(one.strip() for one in named.split(",") if one.strip())
    if not sessions:
        raise NotAPlace(N_("Choose at least one session."), field="sessions")
    if not to.strip():
        raise NotAPlace(N_("Write a number with its country code, or a group's id."), field="to")
    return SessionPlace(sessions, to.strip())


def secrets_of(place: str) -> list[str]:
    """Answer what of an address must never be shown: all of it, passwords, and what may be a token."""
    if kind_of(place) == SESSION:  # a number stands in conversations, too: it is personal, not secret
        return [place]
    try:
        parts = urlsplit(place)
        password, user = parts.password, parts.username
    except ValueError:
        return [place]
    found = [place, unquote(password or "")]
    if parts.scheme not in _OPEN_HOSTS:
        words: Sequence[str] = (user or "", parts.netloc.rpartition("@")[2], *parts.path.split("/"))
        found += [unquote(word) for word in words if len(word) >= _SECRET_CHARS_MIN]
        # Telegram's token is user and password of the address, and one word elsewhere.
        found += [parts.netloc] if len(parts.netloc) >= _SECRET_CHARS_MIN else []
    found += [
        unquote(one.partition("=")[2]) for one in parts.query.split("&") if len(one.partition("=")[2]) >= 12
    ]
    return [one for one in dict.fromkeys(found) if one]


def learn_channels(tx: Connection, box: SecretBox, redactor: Redactor) -> None:
    """Let the redactor know every channel's address. Errors: `ConfigError` when a key is missing."""
    for one in list_channels(tx):
        for secret in secrets_of(box.open(one.sealed)):
            redactor.learn(secret)


def _tell(tx: Connection, ambient: Ambient, type: str, channel: str, data: dict[str, Any]) -> None:
    append_facts(tx, ambient, PRODUCER, [Fact(type, channel, to_ms(ambient.clock.now()), data)])


def _known(tx: Connection, identity: str) -> Channel:
    found = get_channel(tx, identity)
    if found is None:
        raise NotAllowed("There is no such channel. It may have been deleted; look at the list.")
    return found


def _named(name: str) -> str:
    _check(0 < len(name.strip()) <= NAME_CHARS_MAX, "name", N_("Give it a name of at most 120 characters."))
    return name.strip()


def _placed(place: str) -> str:
    _check(
        0 < len(place.strip()) <= PLACE_CHARS_MAX, "place", N_("Give an address, e.g. mailto:// or tgram://.")
    )
    return place.strip()


def _check(fine: bool, field: str, said: str) -> None:
    if not fine:
        raise NotAllowed(said, field=field)


def _is_zone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False


def _is_time(text: str) -> bool:
    try:
        return time.fromisoformat(text).tzinfo is None and len(text) == 5
    except ValueError:
        return False


def _plain(value: Any) -> Any:
    return list(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else value


def _read(row: Row[Any]) -> Channel:
    stored: dict[str, Any] = orjson.loads(row.policy)
    stored.update({name: tuple(stored[name]) for name in _LISTS})
    policy = Policy(**stored)
    return Channel(
        row.id, row.name, row.kind, row.hint, row.enabled, policy, row.since_ms, row.created_ms,
        row.changed_ms, row.sealed,
    )  # fmt: skip


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()
