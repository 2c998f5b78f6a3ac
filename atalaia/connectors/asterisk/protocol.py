"""The conversation with ARI: what to ask when, what an answer or its lack means. No socket, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from atalaia.errors import Refused, Unavailable, UpstreamError

CANARY = "atalaia-canary"
# The step before this one may have been late because we ourselves stood still (SIGSTOP, a swapping machine):
# what is then overdue may already wait in the socket's buffer, so it gets that time on top.
OWN_PAUSE_S = 1.0
DOUBT_AFTER_S = 2.0
# Under load pongs and canaries queue behind thousands of events. While those come the socket is not mute;
# leaving it would only make a gap.
SILENT_AFTER_S = 2.0
LATE_AT_MOST_S = 10.0
CANARY_TRIES = 2
REST_TRIES = 2


class Health(StrEnum):
    """What Asterisk is, told from the outside. Only UP is healthy; open ports alone prove nothing."""

    DOWN = "down"
    HUNG = "hung"
    STARTING = "starting"
    DENIED = "denied"
    MUTE = "mute"
    REPLACED = "replaced"
    FAILING = "failing"
    UP = "up"


# --- what can go wrong -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NotConnected:
    """No TCP connection came about. `said`: the system's words."""

    said: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """A time limit passed. connects: whether the port still accepts TCP connections."""

    after_s: float
    connects: bool


@dataclass(frozen=True, slots=True)
class BadTls:
    """The encrypted connection failed, or the certificate is not trusted."""

    said: str


@dataclass(frozen=True, slots=True)
class Status:
    """HTTP answered, but not with what was asked for."""

    status: int
    path: str


@dataclass(frozen=True, slots=True)
class NoApplication:
    """Asterisk does not know our application although its socket is open (a reconnect race)."""

    app: str


@dataclass(frozen=True, slots=True)
class CanaryLost:
    """Our own event did not come back over the socket."""

    after_s: float


@dataclass(frozen=True, slots=True)
class NoPong:
    """The socket did not answer a ping. answers: whether REST still does (then the socket alone is dead)."""

    after_s: float
    answers: bool


@dataclass(frozen=True, slots=True)
class AppReplaced:
    """Another client took our application's name."""

    app: str


@dataclass(frozen=True, slots=True)
class SocketEnded:
    """The event socket ended. code: of the close frame, 1006 = there was none."""

    code: int
    said: str = ""


@dataclass(frozen=True, slots=True)
class ChannelUnheard:
    """REST shows a channel of which the socket told nothing."""

    channel: str


@dataclass(frozen=True, slots=True)
class Overflow:
    """Events came faster than the database took them, for too long."""

    mib: float


Failure = (
    NotConnected
    | NoAnswer
    | BadTls
    | Status
    | NoApplication
    | CanaryLost
    | NoPong
    | AppReplaced
    | SocketEnded
    | ChannelUnheard
    | Overflow
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure means: the state to show, and the error whose kind says what happens next."""

    health: Health
    error: UpstreamError


def judge(failure: Failure, where: str) -> Verdict:
    """Name the state behind a failure. where: `host:port`, for the sentence; no secret ever gets in here."""
    match failure:
        case NotConnected(said=said):
            return _down(f"Nothing answers on {where} ({said}). Check that Asterisk runs and the address.")
        case NoAnswer(after_s=after, connects=True):
            return _hung(
                f"Asterisk is hung: {where} accepts connections but gave no answer within {after:g} s."
            )
        case NoAnswer(after_s=after):
            return _down(
                f"{where} accepted no connection within {after:g} s. Check the network and firewalls."
            )
        case BadTls(said=said):
            ask = "Correct the certificate settings of the connection, or the certificate of Asterisk."
            error = Refused(f"The encrypted connection to {where} failed: {said}.", ask=ask)
            return Verdict(Health.DENIED, error)
        case Status():
            return _judge_status(failure, where)
        case _:
            return _judge_socket(failure, where)


def _judge_status(failure: Status, where: str) -> Verdict:
    match failure.status:
        case 401 | 403:
            said = f"Asterisk on {where} refused our user or password (HTTP {failure.status})."
            ask = "Correct the ARI user and password: they must equal a section of ari.conf."
            return Verdict(Health.DENIED, Refused(said, ask=ask))
        case 404:
            return _is(
                Health.STARTING,
                f"ARI is not there yet on {where} (404 for {failure.path}). Asterisk may still be starting; "
                "if this lasts, check the prefix (http.conf) and that res_ari is loaded.",
            )
        case status:
            return _is(Health.FAILING, f"Asterisk on {where} answered {failure.path} with HTTP {status}.")


def _judge_socket(failure: Failure, where: str) -> Verdict:
    match failure:
        case NoApplication(app=app):
            return _mute(f"The event socket is open, but Asterisk does not know our application {app}.")
        case CanaryLost(after_s=after):
            return _mute(
                f"The event socket is open but mute: our own event did not come back within {after:g} s."
            )
        case NoPong(after_s=after, answers=True):
            return _mute(f"The event socket is dead: no answer to a ping within {after:g} s; REST answers.")
        case NoPong(after_s=after):
            return _hung(
                f"Asterisk is hung: {where} answers neither a ping within {after:g} s nor a request."
            )
        case AppReplaced(app=app):
            said = f"Another program connected to Asterisk as our application {app} and took the events away."
            return _is(Health.REPLACED, said)
        case ChannelUnheard(channel=channel):
            return _mute(f"The event socket is open but mute: it told nothing of the channel {channel}.")
        case SocketEnded(code=1006):
            return _down(f"The event socket to {where} broke without a close frame.")
        case SocketEnded(code=1009):
            return _is(Health.FAILING, f"{where} sent an event too large to be received at all (code 1009).")
        case SocketEnded(code=code, said=said):
            words = f"code {code}: {said}" if said else f"code {code}"
            return _down(f"Asterisk on {where} closed the event socket ({words}).")
        case Overflow(mib=mib):
            return _is(
                Health.FAILING,
                f"Hearing was given up: {mib:g} MiB of events were waiting for the database, the limit.",
            )
        case _:
            return _is(Health.FAILING, f"The session to {where} failed.")


def _is(health: Health, said: str) -> Verdict:
    return Verdict(health, Unavailable(said))


def _hung(said: str) -> Verdict:
    return _is(Health.HUNG, said)


def _down(said: str) -> Verdict:
    return _is(Health.DOWN, said)


def _mute(said: str) -> Verdict:
    return _is(Health.MUTE, said)


# --- while it is open --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Times:
    """How closely a socket is watched, in seconds."""

    ping_every_s: float = 5
    pong_within_s: float = 5
    canary_every_s: float = 30
    canary_quiet_s: float = 6
    canary_within_s: float = 2
    app_check_every_s: float = 10
    ami_every_s: float = 30


@dataclass(frozen=True, slots=True)
class SendPing:
    """Send a WebSocket ping with this payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class SendCanary:
    """Send our own event number `n` through Asterisk (a read-only user asks for the application instead)."""

    n: int


@dataclass(frozen=True, slots=True)
class CheckApplication:
    """Ask REST for our application, and for channels that we should have heard of."""


@dataclass(frozen=True, slots=True)
class CheckAmi:
    """Look at the AMI banner."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something essential is not proven at the moment."""

    reason: str


@dataclass(frozen=True, slots=True)
class Relief:
    """What was in doubt is proven again."""


@dataclass(frozen=True, slots=True)
class Leave:
    """The socket is dead or mute: close it."""

    failure: Failure


Command = SendPing | SendCanary | CheckApplication | CheckAmi | Doubt | Relief | Leave


@dataclass
class Vigil:
    """Bookkeeping of one open socket: what was asked, what came back. Moments are monotonic seconds.

    A mute socket is left within 15 s with the usual times: a dead one by its ping (5 s + 5 s), a deaf one
    by the canary, which a silence of `canary_quiet_s` brings forward (6 s, then twice 2 s).
    """

    times: Times
    now: float
    ami: bool = False
    heard_at: float = field(init=False)
    _n: int = 0
    _pings: dict[bytes, float] = field(default_factory=dict[bytes, float])
    _canaries: dict[int, float] = field(default_factory=dict[int, float])
    _lost_canaries: int = 0
    _proven: bool = False  # before the first canary came back, losing one is enough
    _rest_failures: int = 0
    _next_ping: float = field(init=False)
    _canary_at: float = field(init=False)
    _next_check: float = field(init=False)
    _next_ami: float = field(init=False)
    _doubts: dict[str, str] = field(default_factory=dict[str, str])
    _told: str = ""

    def __post_init__(self) -> None:
        self.heard_at = self._canary_at = self.now
        self._next_ping = self.now
        self._next_check = self.now + self.times.app_check_every_s
        self._next_ami = self.now

    # What came back.

    def heard(self, now: float) -> None:
        """A frame came."""
        self.heard_at = now

    def pong(self, payload: bytes, now: float) -> float | None:
        """A pong came; answer the milliseconds it took, None when it is not ours."""
        sent = self._pings.get(payload)
        if sent is None:
            return None
        self._pings = {key: at for key, at in self._pings.items() if at > sent}
        self._doubts.pop("ping", None)
        return (now - sent) * 1000

    def canary(self, n: int, now: float) -> float | None:
        """Our own event came back; answer the milliseconds it took, None when nobody waits for it."""
        sent = self._canaries.get(n)
        if sent is None:
            return None
        self._canaries = {number: at for number, at in self._canaries.items() if number > n}
        self._lost_canaries = 0
        self._proven = True
        self._doubts.pop("canary", None)
        return (now - sent) * 1000

    def forget(self, n: int) -> None:
        """Our event number `n` was not sent at all: REST failed, which says nothing of the socket."""
        self._canaries.pop(n, None)

    def application(self, failed: str) -> None:
        """REST answered about our application (`""`), or said or did what `failed` tells."""
        self._rest_failures = self._rest_failures + 1 if failed else 0
        if self._rest_failures >= REST_TRIES:
            self._doubts["rest"] = failed
        elif not failed:
            self._doubts.pop("rest", None)

    def next_canary(self, now: float) -> int:
        """Count a canary that is sent now, and answer its number."""
        self._n += 1
        self._canaries[self._n] = now
        self._canary_at = now
        return self._n

    # What to do.

    def step(self, now: float, usual_s: float) -> list[Command]:
        """Answer what is due. usual_s: how long after the last step this one was meant to be."""
        own_pause = now - self.now - usual_s
        self.now = now
        if own_pause > OWN_PAUSE_S:
            self._forgive(own_pause)
        commands = self._judge_pings(now) + self._judge_canaries(now)
        if any(isinstance(command, Leave) for command in commands):
            return commands
        return [*commands, *self._due(now), *self._tell_doubt()]

    def _forgive(self, own_pause: float) -> None:
        self._pings = {key: at + own_pause for key, at in self._pings.items()}
        self._canaries = {n: at + own_pause for n, at in self._canaries.items()}
        self.heard_at += own_pause

    def _judge_pings(self, now: float) -> list[Command]:
        if not self._pings:
            return []
        within_s = self.times.pong_within_s
        waited = now - min(self._pings.values())
        if waited >= within_s and not self._is_only_late(waited, within_s, now):
            return [Leave(NoPong(within_s, answers=True))]
        if waited >= DOUBT_AFTER_S:
            self._doubts["ping"] = f"No answer to a ping for {DOUBT_AFTER_S:g} s."
        return []

    def _judge_canaries(self, now: float) -> list[Command]:
        within_s = self.times.canary_within_s
        waited = now - min(self._canaries.values(), default=now)
        if waited < within_s:
            return []
        self._doubts["canary"] = f"Our own event did not come back within {within_s:g} s."
        if self._proven and self._is_only_late(waited, within_s, now):
            return []
        self._canaries.clear()
        self._lost_canaries += 1
        if self._lost_canaries >= (CANARY_TRIES if self._proven else 1):
            return [Leave(CanaryLost(within_s))]
        return [SendCanary(self.next_canary(now))]

    def _is_only_late(self, waited: float, within_s: float, now: float) -> bool:
        """Answer whether what we wait for stands behind events that do come: that is no silence."""
        return now - self.heard_at < SILENT_AFTER_S and waited < within_s + LATE_AT_MOST_S

    def _due(self, now: float) -> list[Command]:
        due: list[Command] = []
        if now >= self._next_ping:
            self._next_ping = now + self.times.ping_every_s
            payload = b"%d" % round(now * 1000)
            self._pings[payload] = now
            due.append(SendPing(payload))
        if not self._canaries and now >= min(self._canary_at + self.times.canary_every_s, self._quiet_until):
            due.append(SendCanary(self.next_canary(now)))
        if now >= self._next_check:
            self._next_check = now + self.times.app_check_every_s
            due.append(CheckApplication())
        if self.ami and now >= self._next_ami:
            self._next_ami = now + self.times.ami_every_s
            due.append(CheckAmi())
        return due

    @property
    def _quiet_until(self) -> float:
        return max(self.heard_at, self._canary_at) + self.times.canary_quiet_s

    def _tell_doubt(self) -> list[Command]:
        doubt = " ".join(self._doubts.values())
        if doubt == self._told:
            return []
        self._told = doubt
        return [Doubt(doubt)] if doubt else [Relief()]


def first_unheard(channels: list[tuple[str, int]], newest_heard_ms: int) -> str | None:
    """Answer the id of a channel that is younger than anything heard of channels, else None.

    channels: (id, creation in Unix ms). Both times are Asterisk's own, so no clocks are compared.
    """
    unheard = [(created, name) for name, created in channels if created > newest_heard_ms]
    return min(unheard)[1] if unheard else None
