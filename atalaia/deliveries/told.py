"""The facts that deliveries themselves bring about, and the alerts that go with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from atalaia.clock import rfc3339
from atalaia.events.model import Fact

if TYPE_CHECKING:
    from atalaia.deliveries.subscription import Subscription

PRODUCER = "deliveries"


def place(subscription: Subscription, destination: str) -> str:
    """Answer how a lane is called on screens: the subscription's name, and the destination if it has one."""
    return f"{subscription.name}, {destination}" if destination else subscription.name


def where(subscription: Subscription) -> str:
    """Answer where a subscription's target is: what is down there is down for all that send to it."""
    target = subscription.target
    if url := str(target.get("url") or ""):
        return urlsplit(url).netloc.rpartition("@")[2]
    servers: Any = target.get("servers") or ()
    hosts = [f"{one.get('host')}:{one.get('port') or ''}".rstrip(":") for one in servers]
    return ", ".join(hosts) or str(target.get("connection") or "")


def _about(subscription: Subscription, destination: str) -> dict[str, Any]:
    return {"subscription": subscription.id, "name": subscription.name, "destination": destination}


def target_cause(subscription: str, destination: str) -> str:
    """Answer the cause of the alert about a lane's target."""
    return f"target:{subscription}:{destination}"


def dead_cause(subscription: str) -> str:
    """Answer the cause of the alert about a subscription's dead letters."""
    return f"dead:{subscription}"


def target_opened(
    subscription: Subscription, destination: str, now_ms: int, *, failures: int, error: str, ask: str
) -> list[Fact]:
    """Say that a target is down. The dispatcher adds how many deliveries wait."""
    cause = target_cause(subscription.id, destination)
    since = rfc3339(now_ms)
    evidence = {"error": error, "failures": failures, "seen": since, "at": where(subscription)}
    data = {
        **_about(subscription, destination),
        "since": since,
        "failures": failures,
        "error": error,
        "ask": ask,
    }
    todo = ask or "Nothing: it is tried again at least twice a minute, and nothing is lost meanwhile."
    known = f"{place(subscription, destination)} does not take deliveries."
    return [
        Fact("target.opened", f"{subscription.id}:{destination}", now_ms, data),
        alert_raised(cause, known, now_ms, known=known, evidence=evidence, todo=todo),
    ]


def target_closed(subscription: Subscription, destination: str, now_ms: int, since_ms: int) -> list[Fact]:
    """Say that a target is back."""
    away_s = (now_ms - since_ms) // 1000
    data = {**_about(subscription, destination), "since": rfc3339(since_ms), "away_s": away_s}
    cause = target_cause(subscription.id, destination)
    return [
        Fact("target.closed", f"{subscription.id}:{destination}", now_ms, data),
        alert_resolved(cause, now_ms),
    ]


def delivery_dead(
    subscription: Subscription, destination: str, now_ms: int, *, delivery: int, about: Mapping[str, Any]
) -> list[Fact]:
    """Say that a delivery was given up. about: seq, type, key, message id, attempts, error."""
    known = f"Deliveries of {subscription.name} were given up."
    behind = subscription.policy.order == "block"
    todo = "Look at the dead letters: send them again, or skip them."
    if behind:
        todo += " Later events of the same key wait until you do."
    data = {**_about(subscription, destination), "delivery": delivery, **about}
    return [
        Fact("delivery.dead", f"{subscription.id}:{destination}", now_ms, data),
        alert_raised(
            dead_cause(subscription.id), known, now_ms, known=known, evidence=dict(about), todo=todo
        ),
    ]


def alert_raised(
    cause: str, title: str, now_ms: int, *, known: str, evidence: Mapping[str, Any], todo: str
) -> Fact:
    """Answer the fact that raises an alert."""
    detail = {"known": known, "since": rfc3339(now_ms), "evidence": dict(evidence), "todo": todo}
    return Fact("alert.raised", cause, now_ms, {"cause": cause, "title": title, "detail": detail})


def alert_resolved(cause: str, now_ms: int) -> Fact:
    """Answer the fact that settles an alert."""
    return Fact("alert.resolved", cause, now_ms, {"cause": cause})
