"""What a connector declares; everything else about it stays in its folder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from atalaia.ambient import Ambient
from atalaia.connections.pairing import Pairing
from atalaia.connections.session import Check, Hook, Plane, RunSession
from atalaia.deliveries.formats import Format
from atalaia.events.policy import Keep
from atalaia.jobs.model import JobKind
from atalaia.jobs.schedule import Schedule
from atalaia.reactions.interpreter import Interpretation


@dataclass(frozen=True)
class Connector:
    """One kind of upstream.

    settings: a pydantic model; the set-up form, the check and the masking (SecretStr) are drawn from it.
        A field `jobs_at_once: int` limits how many jobs of a connection run at a time, over all workers.
    run_session: None for upstreams that call us (their session is a route).
    silence: nothing heard or proven for this long means the session is lost.
    keep: policy per event type without the connector's name; the longest pattern wins.
    subscriptions: subscriptions that come with a connection, made when it is saved:
        (settings) -> [{"name","format","filter","target","options","policy"}]. Secrets stay in the settings.
    servers: AMQP servers for targets that say `servers_from: connection:<id>`, in order of preference:
        (settings) -> [{"host","port","user","password","tls"}].
    hook: how it is heard when it calls us; beside a session, or in place of one.
    jobs: what a person may ask of this upstream; their names are unique within the connector.
    schedules: which of them the clock asks for, for each connection that is wanted.
    world: which screens it fills, e.g. "calls".
    sends: the job by which its conversations are written to, "" for none. It takes what
        `desk.chats.sending.params_of` answers, and answers {"key", "serialized"}.
    numbers: how it writes the chat of a phone number, with {} for the digits and the country's code, e.g.
        "{}@c.us"; "" where nobody can be written to first.
    fetches: the job that fetches a message's attachment, "" for none. It takes {"message", "bytes_max"}
        and answers {"file", "mimetype", "size_bytes"}.
    rhythms: event type without the connector's name, may end in "*" -> the kind under which it is counted by
    hour,
        so that silence can be judged; the longest pattern wins. Empty: silence is not judged.
    server: the upstream's server that several sessions share, for limits of recovery: (settings) -> a name.
    notices: the name of the job by which a session can tell people of alerts: it takes `to` and `text`, and
    its result holds the `key` of the message, by which receipts are known.
    routine: how often a session is asked to reconcile although no gap is known; None = it cannot, or need
    not.
    pairing: how a person pairs a session with a phone; None = nothing is paired.
    picture: (settings, ambient) -> what the upstream's page shows now, a PNG or JPEG, for a person. Errors:
    any of the five.
    """

    name: str
    title: str
    settings: type[BaseModel]
    run_session: RunSession | None
    check: Check | None = None
    planes: tuple[Plane, ...] = ()
    interpretations: Sequence[Interpretation] = ()
    formats: Sequence[Format] = ()
    silence: timedelta = timedelta(minutes=3)
    keep: Mapping[str, Keep] = field(default_factory=dict[str, Keep])
    subscriptions: Callable[[Any], list[dict[str, Any]]] | None = None
    servers: Callable[[Any], list[dict[str, Any]]] | None = None
    hook: Hook | None = None
    jobs: Sequence[JobKind] = ()
    schedules: Sequence[Schedule] = ()
    world: str = ""
    sends: str = ""
    numbers: str = ""
    fetches: str = ""
    rhythms: Mapping[str, str] = field(default_factory=dict[str, str])
    server: Callable[[Any], str] | None = None
    routine: timedelta | None = None
    pairing: Pairing | None = None
    notices: str = ""
    picture: Callable[[Any, Ambient], Awaitable[bytes]] | None = None
