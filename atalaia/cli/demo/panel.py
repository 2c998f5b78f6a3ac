"""The demo's fault panel: a page that makes the simulated upstreams and the consumer misbehave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, Form, Request
from starlette.responses import RedirectResponse, Response

from atalaia.deliveries.receiver import Received, Receiver
from atalaia.web.access import require
from atalaia.web.render import page, view_of

ROLE = Depends(require("connections:write"))


CONSUMER = "consumer"
Texts = tuple[str, str]  # pt-BR, en


class Switchable(Protocol):
    """What can go wrong with something, as the simulators' switches have it."""

    async def start(self, name: str, seconds: float | None = None, times: int | None = None) -> None: ...

    async def stop(self, name: str) -> None: ...

    def as_json(self) -> list[dict[str, object]]: ...


@dataclass(frozen=True)
class Deed:
    """A button that does something to a simulated world which is no fault, e.g. a customer who writes."""

    name: str
    title: Texts
    do: Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Shown:
    """One simulated upstream on the panel.

    connection: which connection shows it. groups: titles with the names of faults below them, in this order;
    none shows all without a title. expected: by fault, what one should see in the hub. note: said first.
    """

    title: str
    faults: Switchable
    connection: str = ""
    groups: Sequence[tuple[Texts, Sequence[str]]] = ()
    expected: Mapping[str, Texts] = field(default_factory=dict[str, Texts])
    deeds: Sequence[Deed] = ()
    note: Texts = ("", "")


class Panel:
    """Draws the panel and carries out what is pressed."""

    def __init__(self, servers: Mapping[str, Shown], receiver: Receiver) -> None:
        self._servers = servers
        self._receiver = receiver

    def install(self, app: FastAPI) -> None:
        """Add the panel's routes to the app."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/demo", self.show, methods=["GET"], dependencies=[ROLE])
        router.add_api_route("/demo/faults", self.press, methods=["POST"], dependencies=[ROLE])
        router.add_api_route("/demo/deeds", self.act, methods=["POST"], dependencies=[ROLE])
        app.include_router(router)
        app.state.more_worlds = ("demo",)

    async def show(self, request: Request) -> Response:
        """Draw every fault of every server with what it does, what one should see and how it ends."""
        language = 1 if view_of(request).language == "en" else 0
        servers = [_section(name, one, language) for name, one in self._servers.items()]
        down = self._receiver.answer is not None
        return page(request, "demo/panel.html", servers=servers, consumer_down=down)

    async def press(
        self,
        server: Annotated[str, Form()],
        fault: Annotated[str, Form()],
        do: Annotated[str, Form()] = "start",
    ) -> Response:
        """Begin or end one fault."""
        shown = self._servers.get(server)
        if server == CONSUMER:
            self._receiver.answer = None if do == "stop" else _refusal
        elif shown is not None:
            await _carry_out(shown.faults, fault, do)
        return _back(server)

    async def act(self, server: Annotated[str, Form()], deed: Annotated[str, Form()]) -> Response:
        """Do something to a simulated world that is no fault."""
        shown = self._servers.get(server)
        for one in shown.deeds if shown is not None else ():
            if one.name == deed:
                await one.do()
        return _back(server)


def _back(server: str) -> Response:
    """Answer the way back to the part of the panel that was pressed."""
    return RedirectResponse(f"/demo#{server}" if server.isidentifier() else "/demo", status_code=303)


def _refusal(_: Received) -> int:
    """What a consumer that is down for maintenance answers."""
    return 503


async def _carry_out(faults: Switchable, fault: str, do: str) -> None:
    known = {str(one["name"]): one for one in faults.as_json()}.get(fault)
    if known is None:
        return
    if do == "stop":
        await faults.stop(fault)
    else:
        await faults.start(fault, float(str(known["default_s"])) or None)


def _section(name: str, shown: Shown, language: int) -> dict[str, Any]:
    """Answer what the page draws of one server."""
    found = {str(one["name"]): _fault(one, shown.expected, language) for one in shown.faults.as_json()}
    groups = shown.groups or ((("", ""), tuple(found)),)
    return {
        "name": name, "title": shown.title, "connection": shown.connection, "note": shown.note[language],
        "groups": [
            {
                "title": title[language],
                "faults": [found[one] for one in names],
                "active": sum(bool(found[one]["active"]) and not found[one]["natural"] for one in names),
            }
            for title, names in groups
        ],
        "deeds": [{"name": one.name, "title": one.title[language]} for one in shown.deeds],
    }  # fmt: skip


def _fault(one: dict[str, Any], expected: Mapping[str, Texts], language: int) -> dict[str, Any]:
    words = ("pt-BR", "en")[language]
    texts = {key: str(one[key][words]) for key in ("title", "description", "ends")}
    seen = expected.get(str(one["name"]), ("", ""))[language]
    return {"natural": False, **one, **texts, "expected": seen}
