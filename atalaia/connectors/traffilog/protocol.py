"""The conversation on one socket: what is asked, whose answer came, which vehicle it is about.

No socket and no clock. The session writes `Request.text`, feeds every text that comes to `take`, and keeps
whoever waits by `Request.mtkn`. Source: contracts/traffilog.md §3.3, §3.7, §4.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from random import Random

from atalaia.connectors.traffilog.assembler import Assembler
from atalaia.connectors.traffilog.wire import (
    FIRE_AND_FORGET,
    Action,
    Answer,
    Incoming,
    Push,
    RawError,
    Token,
    build_frame,
    new_flow_id,
    new_mtkn,
    text_of,
)
from atalaia.errors import Rejected, Unavailable, UpstreamError

REMEMBERED_MAX = 512  # requests nobody waits for, whose answers may still come


FRAME = "frame"  # the cause of what the upstream says against our frames; see `reach.Cause`
FRAME_TODO = "Nothing: we log in anew. If it stays so, compare our frames with a capture (frames compare)."


class SessionSpent(Unavailable):
    """The token is not good any more (403, 406): log in again, then ask again."""

    cause = FRAME
    todo = FRAME_TODO


class WrongFrame(Rejected):
    """The upstream calls our frame wrong (400)."""

    cause = FRAME
    todo = FRAME_TODO


class Busy(Unavailable):
    """Another process of the same client is being prepared (8)."""


class Missing(Rejected):
    """The upstream does not know what was asked for (404)."""


@dataclass(frozen=True, slots=True)
class Request:
    """One frame. text: what to write; it holds the token. awaited: somebody waits for the answer."""

    mtkn: str
    action: Action
    awaited: bool
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Came:
    """One message of the upstream, and what follows from it.

    request: the one that it answers, awaited or not. fails: awaited requests that end with an error without a
    name. vehicle_id: what it is about, `""` if that is not known.
    """

    message: Incoming
    request: Request | None = None
    fails: tuple[Request, ...] = ()
    vehicle_id: str = ""


class Protocol:
    """One socket's conversation. token: the socket's own, never another's."""

    def __init__(self, token: Token, dice: Random) -> None:
        self._token = token
        self._dice = dice
        self._assembler = Assembler()
        self._pending: dict[str, Request] = {}
        self._remembered: OrderedDict[str, Request] = OrderedDict()
        self._subscribed: dict[str, set[str]] = {}
        self._vehicles: dict[str, str] = {}  # inner_id to vehicle_id
        self._named: set[str] = set()
        self._ticked = ""

    @property
    def pending(self) -> tuple[Request, ...]:
        """The awaited requests without an answer, oldest first."""
        return tuple(self._pending.values())

    @property
    def subscribed(self) -> dict[str, frozenset[str]]:
        """What was subscribed on this socket and not given back: vehicle to object types."""
        return {vehicle: frozenset(types) for vehicle, types in self._subscribed.items()}

    def ask(self, action: Action, now_ms: int, *, awaited: bool = True, encoded: bool = False) -> Request:
        """Make the frame of a request with a name of its own. Errors: `Rejected`, see `build_frame`."""
        mtkn = new_mtkn(now_ms, self._dice)
        while mtkn in self._pending or mtkn in self._remembered:
            mtkn = new_mtkn(now_ms, self._dice)
        return self._made(action, mtkn, awaited=awaited, encoded=encoded)

    def fire(self, action: Action, *, encoded: bool = False) -> Request:
        """Make the frame of a request whose answer does not matter; it may come without a name."""
        return self._made(action, FIRE_AND_FORGET, awaited=False, encoded=encoded)

    def overhear(self, action: Action, mtkn: str) -> None:
        """Note a frame that somebody else's client sent on this socket, as captures hold them."""
        self._remember(Request(mtkn, action, awaited=False, text=""))
        self._note(action)

    def knows(self, inner_id: str, vehicle_id: str) -> None:
        """Learn which vehicle a unit is in, so that its pushes are filed under the vehicle."""
        if inner_id and vehicle_id:
            self._vehicles[inner_id] = vehicle_id

    def take(self, text: str | bytes) -> list[Came]:
        """Answer what one text of the socket completes."""
        return [self._came(message) for message in self._assembler.take(text)]

    def give_up(self, mtkn: str) -> Came | None:
        """Stop waiting for an answer; answer its rows so far, if any. A late answer is still known."""
        request = self._pending.get(mtkn)
        answer = self._assembler.end(mtkn)
        if answer is not None:
            return self._came(answer)
        if request is not None:
            del self._pending[mtkn]
            self._remember(request)
        return None

    def closed(self) -> tuple[list[Came], tuple[Request, ...]]:
        """End the conversation: the unfinished answers, and the requests that now never get one."""
        unfinished = self._assembler.close()
        lost = self.pending
        came = [Came(message, vehicle_id=self._vehicle_of(message, None)) for message in unfinished]
        self._pending.clear()
        self._subscribed.clear()
        return came, lost

    def _made(self, action: Action, mtkn: str, *, awaited: bool, encoded: bool) -> Request:
        text = build_frame(action, self._token, mtkn, new_flow_id(self._dice), encoded=encoded)
        request = Request(mtkn, action, awaited, text)
        if awaited:
            self._pending[mtkn] = request
        elif mtkn != FIRE_AND_FORGET:
            self._remember(request)
        self._note(action)
        return request

    def _note(self, action: Action) -> None:
        """Remember what the upstream keeps for this socket: the subscriptions and the ticked vehicle."""
        if action.vehicle_id and len(self._named) < 2:
            self._named.add(action.vehicle_id)
        match action.name:
            case "vehicle_subscribe":
                types = self._subscribed.setdefault(action.vehicle_id, set())
                types.add(str(action.parameters.get("object_type", "")))
            case "vehicle_unsubscribe":
                self._subscribed.pop(action.vehicle_id, None)
            case "vcls_check_opr":
                self._ticked = action.vehicle_id
            case _:
                pass

    def _remember(self, request: Request) -> None:
        self._remembered[request.mtkn] = request
        while len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def _came(self, message: Incoming) -> Came:
        if isinstance(message, Answer):
            request = self._pending.pop(message.mtkn, None) or self._remembered.pop(message.mtkn, None)
            self._learn(message)
            return Came(message, request, vehicle_id=self._vehicle_of(message, request))
        if isinstance(message, RawError):
            return self._failed(message)
        return Came(message, vehicle_id=self._vehicle_of(message, None))

    def _failed(self, message: RawError) -> Came:
        """File an error without a name: it answers the only request there is, else it fails all of them."""
        named = self._pending.pop(message.mtkn, None)
        if named is not None:
            return Came(message, named, (named,), self._vehicle_of(message, named))
        fails = self.pending
        self._pending.clear()
        request = fails[0] if len(fails) == 1 else None
        return Came(message, request, fails, self._vehicle_of(message, request))

    def _learn(self, answer: Answer) -> None:
        if answer.action == "get_vehicle_info":
            for row in answer.rows:
                self.knows(text_of(row, "inner_id"), text_of(row, "vehicle_id"))

    def _vehicle_of(self, message: Incoming, request: Request | None) -> str:
        if request is not None and request.action.vehicle_id:
            return request.action.vehicle_id
        if isinstance(message, Answer):
            named = {text_of(row, "vehicle_id") for row in message.rows} - {""}
            if request is None or len(named) == 1:
                return named.pop() if len(named) == 1 else self._only_one()
            return self._ticked
        if isinstance(message, Push):
            return self._vehicle_of_push(message)
        return self._ticked if request is not None else ""

    def _vehicle_of_push(self, push: Push) -> str:
        """File a push. One without a serial (a status) is clear when only one vehicle can have sent it."""
        if push.inner_id:
            return self._vehicles.get(push.inner_id) or self._only_one()
        return self._only_one(push.source)

    def _only_one(self, object_type: str = "") -> str:
        fits = [
            vehicle for vehicle, types in self._subscribed.items() if not object_type or object_type in types
        ]
        if not self._subscribed and len(self._named) == 1:  # subscribed before a capture began
            fits = list(self._named)
        return fits[0] if len(fits) == 1 else ""


def refusal(action: str, message: Answer | RawError, *, alone: bool = True) -> UpstreamError:
    """Answer the error that an unsuccessful answer means to whoever asked.

    alone: False for an error without a name that failed several requests at once. Which values are harmless
    (1, 2, 1001) depends on the action, and is its caller's to know. Source: contracts/traffilog.md §3.7.
    """
    value = message.value
    said = message.description.strip()
    more = f": {said}" if said else ""
    if not alone:
        return Unavailable(
            f"The upstream refused one of several requests without saying which ({value}{more})."
        )
    match value:
        case "8":
            return Busy("Another process of this client is being prepared upstream.")
        case "400":
            return WrongFrame(f"The upstream calls the frame of {action} wrong (400{more}).")
        case "403" | "406":
            return SessionSpent(f"The upstream does not accept this session any more ({value}{more}).")
        case "404":
            return Missing(f"The upstream does not know what {action} asks for (404{more}).")
        case "500":
            return Unavailable(f"The upstream failed at {action} (500{more}).")
        case "6666":
            return Unavailable("The upstream has no free database connection (6666).")
        case _:
            return Rejected(f"The upstream refused {action} ({value or 'no code'}{more}).")
