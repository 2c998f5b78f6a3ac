"""Who wants which events, where: reading, checking and changing subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

import orjson
from sqlalchemy import Connection, Row, delete, select, text, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.deliveries import told
from atalaia.deliveries.fields import (
    choice_field,
    expect_names,
    number_field,
    object_field,
    text_field,
)
from atalaia.deliveries.filter import Filter, read_filter
from atalaia.deliveries.signing import check_secret, new_secret
from atalaia.deliveries.targets.settings import check_target
from atalaia.deliveries.targets.target import Secrets
from atalaia.errors import ConfigError
from atalaia.events.log import append_facts, head
from atalaia.events.model import Fact
from atalaia.store.bell import DELIVERIES
from atalaia.store.store import ring_after, serialise
from atalaia.store.tables import deliveries, lanes, subscriptions

CONTROL = "deliveries-control"  # rung when a person changed subscriptions, lanes or their deliveries
DAY_S = 86_400
_OPEN = ("pending", "sending", "waiting")
_NAMES = ("name", "filter", "format", "options", "target", "secrets", "policy", "state")


class SecretBox(Protocol):
    """Encrypts at rest; the key is not in the database."""

    def seal(self, text: str) -> str: ...

    def open(self, sealed: str, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """order: `block` keeps a key's later events behind a dead one until a person acts, `skip` goes on.

    give_up_s: so long is one event tried before it is dead. shards: lanes that one destination is split into.
    """

    order: Literal["block", "skip"] = "block"
    give_up_s: int = DAY_S
    shards: int = 1

    def to_json(self) -> dict[str, Any]:
        """Answer the stored form; `read_policy` reads it back."""
        return {"order": self.order, "give_up_s": self.give_up_s, "shards": self.shards}


@dataclass(frozen=True)
class Subscription:
    """One consumer's wish. `sealed` is the encrypted JSON of the target's secrets; `open_secrets` reads it.

    state: `on`, or `paused`: deliveries are still written down, and sent when it is on again.
    from_seq: only events after this one. managed_by: the connection that brought it, "" = a person.
    """

    id: str
    name: str
    state: str
    filter: Filter
    format: str
    options: Mapping[str, Any]
    target: Mapping[str, Any]
    policy: Policy
    managed_by: str
    from_seq: int
    version: int
    created_ms: int
    changed_ms: int
    sealed: str = field(repr=False, default="")

    def to_json(self) -> dict[str, Any]:
        """Answer what may be shown of it: everything but the secrets."""
        return {
            "id": self.id, "name": self.name, "state": self.state, "filter": self.filter.to_json(),
            "format": self.format, "options": dict(self.options), "target": dict(self.target),
            "policy": self.policy.to_json(), "managed_by": self.managed_by, "from_seq": self.from_seq,
            "created_ms": self.created_ms, "changed_ms": self.changed_ms,
        }  # fmt: skip


def read_policy(given: Mapping[str, Any]) -> Policy:
    """Read {"order", "give_up_s", "shards"}, all optional. Errors: `ConfigError`."""
    expect_names("policy", given, ("order", "give_up_s", "shards"))
    order = cast("Literal['block', 'skip']", choice_field(given, "order", "policy.order", ("block", "skip")))
    give_up = number_field(given, "give_up_s", "policy.give_up_s", default=DAY_S, least=0, most=90 * DAY_S)
    shards = number_field(given, "shards", "policy.shards", default=1, least=1, most=64)
    return Policy(order, give_up, shards)


# --- reading ---------------------------------------------------------------------------------------


def list_subscriptions(tx: Connection, *, managed_by: str | None = None) -> list[Subscription]:
    """Answer the subscriptions that are not deleted, oldest first."""
    query = select(subscriptions).where(subscriptions.c.deleted_ms.is_(None))
    if managed_by is not None:
        query = query.where(subscriptions.c.managed_by == managed_by)
    return [_read(row) for row in tx.execute(query.order_by(subscriptions.c.created_ms, subscriptions.c.id))]


def get_subscription(tx: Connection, id: str) -> Subscription | None:
    """Answer one subscription, None when there is none or it was deleted."""
    found = tx.execute(select(subscriptions).where(subscriptions.c.id == id)).first()
    return _read(found) if found is not None and found.deleted_ms is None else None


def open_secrets(box: SecretBox, subscription: Subscription) -> Secrets:
    """Answer the target's secrets in the clear; keep them only as long as they are needed."""
    return _to_secrets(orjson.loads(box.open(subscription.sealed)) if subscription.sealed else {})


def newest_version(tx: Connection) -> int:
    """Answer the number of the last change of a subscription or a lane; cheap enough for every look."""
    one, other = tx.exec_driver_sql(_NEWEST).one()
    return max(int(one or 0), int(other or 0))


_NEWEST = "select (select max(version) from subscriptions), (select max(touched) from lanes)"


def _read(row: Row[Any]) -> Subscription:
    return Subscription(
        row.id, row.name, row.state, read_filter(orjson.loads(row.filter)), row.format,
        orjson.loads(row.options), orjson.loads(row.target), read_policy(orjson.loads(row.policy)),
        row.managed_by or "", row.from_seq, row.version, row.created_ms, row.changed_ms, row.secrets,
    )  # fmt: skip


# --- changing --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Created:
    """A new subscription. secret: the signing secret we made, to be shown once; "" = none was made."""

    subscription: Subscription
    secret: str


def create_subscription(
    tx: Connection,
    ambient: Ambient,
    box: SecretBox,
    given: Mapping[str, Any],
    *,
    formats: Mapping[str, Any],
    managed_by: str = "",
    from_seq: int | None = None,
    make_secret: Callable[[], str] = new_secret,
) -> Created:
    """Write a subscription down; it gets the events after `from_seq` (None = from now on).

    given: {"name", "filter", "format", "options", "target", "secrets", "policy"}. A webhook without a signing
        secret gets one. Errors: `ConfigError` naming the field, what it holds and the remedy.
    """
    serialise(tx)
    now = to_ms(ambient.clock.now())
    values = _checked(given, formats)
    secrets = _checked_secrets(object_field(given, "secrets", "secrets"))
    made = ""
    if values["target"]["kind"] == "webhook" and not secrets["signing"]:
        made = make_secret()
        secrets["signing"] = [{"secret": made, "until_ms": None}]
    id = ambient.ids.new()
    row: dict[str, Any] = {
        "id": id,
        **_stored(values),
        "secrets": _seal(box, secrets),
        "managed_by": managed_by or None,
        "from_seq": head(tx) if from_seq is None else from_seq,
        "created_ms": now,
    }
    tx.execute(subscriptions.insert().values(**row, **_mark(tx, now)))
    return Created(_get(tx, id), made)


def change_subscription(
    tx: Connection,
    ambient: Ambient,
    box: SecretBox,
    id: str,
    given: Mapping[str, Any],
    *,
    formats: Mapping[str, Any],
) -> Subscription:
    """Change the named fields, leaving the others; secrets are merged (a value of None removes one).

    Errors: `ConfigError`, also when there is no such subscription.
    """
    serialise(tx)
    before = _get(tx, id)
    now = to_ms(ambient.clock.now())
    expect_names("subscription", given, _NAMES)
    shown = before.to_json()
    values = _checked({name: given.get(name, shown[name]) for name in _NAMES if name != "secrets"}, formats)
    sealed = before.sealed
    if "secrets" in given:
        changes = object_field(given, "secrets", "secrets")
        sealed = _seal(box, _merged_secrets(_secrets_json(box, before), changes))
    change = {**_stored(values), "secrets": sealed, **_mark(tx, now)}
    tx.execute(update(subscriptions).where(subscriptions.c.id == id).values(change))
    if values["policy"].shards != before.policy.shards:
        _refuse_open(tx, id)
    return _get(tx, id)


def set_state(tx: Connection, ambient: Ambient, id: str, state: Literal["on", "paused"]) -> Subscription:
    """Pause or resume. While paused, deliveries are written down and wait."""
    serialise(tx)
    _get(tx, id)
    mark = _mark(tx, to_ms(ambient.clock.now()))
    tx.execute(update(subscriptions).where(subscriptions.c.id == id).values(state=state, **mark))
    return _get(tx, id)


def delete_subscription(tx: Connection, ambient: Ambient, id: str) -> int:
    """Delete it and cancel what is on its way; answer how many deliveries that were. Attempts are kept."""
    serialise(tx)
    _get(tx, id)
    now = to_ms(ambient.clock.now())
    gone = {"deleted_ms": now, "secrets": "", **_mark(tx, now)}
    tx.execute(update(subscriptions).where(subscriptions.c.id == id).values(gone))
    append_facts(tx, ambient, told.PRODUCER, _settled_alerts(tx, id, now))
    tx.execute(delete(lanes).where(lanes.c.subscription == id))
    stopped = update(deliveries).where(
        deliveries.c.subscription == id, deliveries.c.state.in_((*_OPEN, "dead"))
    )
    said = "The subscription was deleted."
    return tx.execute(stopped.values(state="cancelled", done_ms=now, next_ms=None, error=said)).rowcount


def _settled_alerts(tx: Connection, id: str, now: int) -> list[Fact]:
    """Answer the ends of the alerts about a subscription: with it goes what they are about."""
    down = select(lanes.c.destination).where(lanes.c.subscription == id, lanes.c.circuit == "open")
    causes = [told.target_cause(id, row.destination) for row in tx.execute(down)]
    dead = select(deliveries.c.id).where(deliveries.c.subscription == id, deliveries.c.state == "dead")
    if tx.execute(dead.limit(1)).first() is not None:
        causes.append(told.dead_cause(id))
    return [told.alert_resolved(cause, now) for cause in causes]


def rotate_secret(
    tx: Connection,
    ambient: Ambient,
    box: SecretBox,
    id: str,
    *,
    keep_s: int = DAY_S,
    make_secret: Callable[[], str] = new_secret,
) -> str:
    """Make a new signing secret and answer it; the old one signs beside it for `keep_s` more seconds."""
    serialise(tx)
    before = _get(tx, id)
    now = to_ms(ambient.clock.now())
    secrets = _secrets_json(box, before)
    until = now + keep_s * 1000
    old = [
        {"secret": one["secret"], "until_ms": until if one["until_ms"] is None else one["until_ms"]}
        for one in secrets["signing"]
        if one["until_ms"] is None or one["until_ms"] > now
    ]
    fresh = make_secret()
    # Two signatures at most: of several old ones the last stays.
    secrets["signing"] = [{"secret": fresh, "until_ms": None}, *([old[0]] if old and keep_s > 0 else [])]
    change = {"secrets": _seal(box, secrets), **_mark(tx, now)}
    tx.execute(update(subscriptions).where(subscriptions.c.id == id).values(change))
    return fresh


def touch_lanes(tx: Connection, subscription: str, destination: str | None = None) -> None:
    """Tell the lanes' owners that rows behind their position were changed; they load them again."""
    serialise(tx)
    chosen = update(lanes).where(lanes.c.subscription == subscription)
    if destination is not None:
        chosen = chosen.where(lanes.c.destination == destination)
    tx.execute(chosen.values(touched=newest_version(tx) + 1))
    ring_after(tx, CONTROL, DELIVERIES)


def _mark(tx: Connection, now: int) -> dict[str, int]:
    ring_after(tx, CONTROL, DELIVERIES)
    return {"changed_ms": now, "version": newest_version(tx) + 1}


def _get(tx: Connection, id: str) -> Subscription:
    found = get_subscription(tx, id)
    if found is None:
        raise ConfigError(f"There is no subscription {id}. It may have been deleted; look at the list.")
    return found


def _refuse_open(tx: Connection, id: str) -> None:
    """Shards decide the lane of a key: with deliveries on their way, a change would let them overtake."""
    query = select(deliveries.c.id).where(deliveries.c.subscription == id, text(_OPEN_SQL)).limit(1)
    if tx.execute(query).first() is not None:
        raise ConfigError(
            "policy.shards cannot change while deliveries are on their way. Wait until nothing is pending, "
            "or make a new subscription."
        )


_OPEN_SQL = "state in ('pending','sending','waiting')"  # spelled like the partial index


def _checked(given: Mapping[str, Any], formats: Mapping[str, Any]) -> dict[str, Any]:
    expect_names("subscription", given, _NAMES)
    return {
        "name": text_field(given, "name", "name", most=120, required=True),
        "state": choice_field(given, "state", "state", ("on", "paused")),
        "filter": read_filter(object_field(given, "filter", "filter")),
        "format": choice_field(given, "format", "format", tuple(dict.fromkeys(("cloudevents", *formats)))),
        "options": object_field(given, "options", "options"),
        "target": check_target(object_field(given, "target", "target")),
        "policy": read_policy(object_field(given, "policy", "policy")),
    }


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": values["name"],
        "state": values["state"],
        "filter": _json(values["filter"].to_json()),
        "format": values["format"],
        "options": _json(values["options"]),
        "target": _json(values["target"]),
        "policy": _json(values["policy"].to_json()),
    }


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


# --- secrets ---------------------------------------------------------------------------------------


def _seal(box: SecretBox, secrets: Mapping[str, Any]) -> str:
    return box.seal(_json(secrets))


def _secrets_json(box: SecretBox, subscription: Subscription) -> dict[str, Any]:
    return _checked_secrets(orjson.loads(box.open(subscription.sealed)) if subscription.sealed else {})


def _checked_secrets(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check {"signing": "whsec_…" or [{"secret", "until_ms"}], "headers": {…}, "passwords": {user: text}}.

    Errors: `ConfigError`, which never holds a value.
    """
    expect_names("secrets", given, ("signing", "headers", "passwords"))
    headers = object_field(given, "headers", "secrets.headers")
    passwords = object_field(given, "passwords", "secrets.passwords")
    return {
        "signing": _checked_signing(given.get("signing")),
        "headers": {name: text_field(headers, name, "secrets.headers") for name in headers},
        "passwords": {user: text_field(passwords, user, "secrets.passwords") for user in passwords},
    }


def _checked_signing(given: object) -> list[dict[str, Any]]:
    if given is None or given == "":
        return []
    rows = cast("list[object]", given) if isinstance(given, list) else [{"secret": given, "until_ms": None}]
    checked: list[dict[str, Any]] = []
    for row in rows:
        one = cast("dict[str, object]", row) if isinstance(row, dict) else {}
        secret, until_ms = one.get("secret"), one.get("until_ms")
        if not isinstance(secret, str) or not (until_ms is None or isinstance(until_ms, int)):
            raise ConfigError('secrets.signing is no secret. Write whsec_… or [{"secret": "whsec_…"}].')
        checked.append({"secret": check_secret(secret), "until_ms": until_ms})
    return checked


def _merged_secrets(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    signing = given.get("signing", before["signing"])
    merged: dict[str, Any] = {"signing": signing}
    for name in ("headers", "passwords"):
        both = {**before[name], **object_field(given, name, f"secrets.{name}")}
        merged[name] = {key: value for key, value in both.items() if value is not None}
    return _checked_secrets(merged)


def _to_secrets(stored: Mapping[str, Any]) -> Secrets:
    signing = tuple((str(one["secret"]), one.get("until_ms")) for one in stored.get("signing", ()))
    return Secrets(signing, stored.get("headers", {}), stored.get("passwords", {}))
