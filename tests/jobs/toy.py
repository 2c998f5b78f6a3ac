"""A toy upstream that counts what is done to it, and a connector whose jobs do it."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import web
from pydantic import BaseModel, Field, SecretStr

from atalaia.connectors.connector import Connector
from atalaia.errors import Refused, Rejected, Unavailable
from atalaia.jobs.model import (
    CannotTell,
    DidNotHappen,
    Effect,
    Happened,
    JobContext,
    JobFailed,
    JobKind,
    Planned,
    StepKind,
    Verdict,
)


async def _pass(_place: str, _tag: str, _pid: int) -> None:
    """Let a job's code go on."""


class ToyUpstream:
    """A server that does whatever it is asked, as often as it is asked: `done` counts by tag."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.asked: list[tuple[str, str]] = []  # (path, tag) in the order of arrival
        self.open_at_most: Counter[str] = Counter()  # per resource
        self.url = ""
        self.away = False
        # Called with the tag when an order has arrived and is not done yet, and when it is done.
        self.on_order: Callable[[str], None] = lambda _: None
        self.on_done: Callable[[str], None] = lambda _: None
        # Awaited when a job's code says where it is: (place, tag, process id). A test may kill it there.
        self.at: Callable[[str, str, int], Awaitable[None]] = _pass
        self.answers = asyncio.Event()
        self.answers.set()
        self._open: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        app = web.Application()
        app.router.add_get("/look", self._look)
        app.router.add_post("/order", self._order)
        app.router.add_post("/at", self._at)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self.url

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _look(self, request: web.Request) -> web.Response:
        tag = request.query["tag"]
        self.asked.append(("look", tag))
        if self.away:
            raise web.HTTPServiceUnavailable
        return web.json_response({"tag": tag, "done": self.done[tag]})

    async def _at(self, request: web.Request) -> web.Response:
        told: dict[str, Any] = await request.json()
        await self.at(told["place"], told["tag"], told["pid"])
        return web.Response()

    async def _order(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        tag, resource = body["tag"], str(body.get("resource", ""))
        self.asked.append(("order", tag))
        if "pid" in body:
            await self.at("frame_arrived", tag, body["pid"])
        if self.away:
            raise web.HTTPServiceUnavailable
        if body.get("how") == "rejected":
            raise web.HTTPConflict(text="this serial is in use")
        self._open[resource] += 1
        self.open_at_most[resource] = max(self.open_at_most[resource], self._open[resource])
        try:
            self.on_order(tag)
            self.done[tag] += 1
            self.on_done(tag)
            if "pid" in body:
                await self.at("effect_done", tag, body["pid"])
            await self.answers.wait()
        finally:
            self._open[resource] -= 1
        if body.get("how") == "no_answer":
            assert request.transport is not None
            request.transport.close()
        return web.json_response({"number": self.done[tag]})


class ToySettings(BaseModel):
    """Where the toy is."""

    url: str = "http://127.0.0.1:9"
    password: SecretStr = SecretStr("")
    jobs_at_once: int = 0


class ToyParams(BaseModel):
    """What is asked of the toy."""

    resource: str = Field("one", min_length=1, description="What is worked on")
    how: str = Field("", description="How the toy answers: rejected, no_answer")
    probe: str = Field("", description="What looking for the trace tells: look, cannot_tell, goes_on")
    supposes: bool = False  # whether the step knows what it would have answered
    session_token: str = Field("", description="A secret of the upstream")


async def look(context: JobContext, tag: str) -> dict[str, Any]:
    """Ask how often a tag was done. Errors: `Unavailable`."""
    try:
        async with (
            aiohttp.ClientSession(context.settings.url) as session,
            session.get("/look", params={"tag": tag}) as answer,
        ):
            if answer.status == 503:
                raise Unavailable("The toy is away.")
            return await answer.json()
    except aiohttp.ClientError as error:
        raise Unavailable("The toy does not answer.") from error


async def order(context: JobContext, params: ToyParams, effect: Effect, tag: str) -> dict[str, Any]:
    """Have something done, by a frame that must not be sent twice."""
    frame = {"tag": tag, "resource": params.resource, "how": params.how}
    async with aiohttp.ClientSession(context.settings.url) as session:
        await effect.sending(tag=tag)
        context.frame("sent", "http", f'{{"session_token":"{params.session_token}","tag":"{tag}"}}')
        async with session.post("/order", json=frame) as answer:
            if answer.status == 409:
                raise Rejected(await answer.text())
            if answer.status == 401:
                raise Refused("The toy does not know us.", ask="Write the password anew.")
            if answer.status != 200:
                raise Unavailable("The toy is away.")
            return await answer.json()


def probe_of(context: JobContext, params: ToyParams) -> Callable[[Mapping[str, Any]], Any] | None:
    """Answer the probe that the parameters ask for."""

    async def probe(evidence: Mapping[str, Any]) -> Verdict:
        if params.probe == "goes_on":
            await asyncio.Event().wait()
        if params.probe == "cannot_tell":
            return CannotTell("The toy keeps no traces today.")
        found = await look(context, str(evidence["tag"]))
        return Happened({"number": found["done"]}, "The tag is there.") if found["done"] else DidNotHappen()

    return probe if params.probe else None


def supposed(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Answer what an order answers, as far as that is known when no answer came."""
    return {"number": 0, "tag": evidence["tag"]}


async def one(context: JobContext, params: ToyParams) -> Mapping[str, Any]:
    """Look, order once, look again."""
    before = await context.step("before", StepKind.READ, lambda _: look(context, context.trace))
    ordered = await context.step(
        "order", StepKind.UNSAFE, lambda effect: order(context, params, effect, context.trace),
        probe=probe_of(context, params), suppose=supposed if params.supposes else None,
    )  # fmt: skip
    after = await context.step("after", StepKind.READ, lambda _: look(context, context.trace))
    return {"before": before["done"], "ordered": ordered, "after": after["done"]}


async def careful(context: JobContext, params: ToyParams) -> Mapping[str, Any]:
    """Wait, ask a person, order in a section, and follow up with the next job of the pipeline."""
    await context.sleep(60)
    chosen = await context.ask("go", "Shall it go on?", ["yes", "no"], shown={"n": 1}, within_s=600)
    if chosen is None or chosen.choice != "yes":
        raise JobFailed("not_approved", "Nobody approved it.", choice=chosen.choice if chosen else None)

    async def within(effect: Effect) -> dict[str, Any]:
        async with context.section("toy"):
            return await order(context, params, effect, context.trace)

    await context.step("order", StepKind.UNSAFE, within)
    following = await context.follow_up("one", params.model_dump(), step="next")
    return {"by": chosen.by, "data": dict(chosen.data), "next": following}


async def compensating(context: JobContext, params: ToyParams) -> Mapping[str, Any]:
    """Order, and put things right when it is called off or fails."""
    try:
        await context.step(
            "order", StepKind.UNSAFE, lambda effect: order(context, params, effect, context.trace)
        )
        await context.step("after", StepKind.READ, lambda _: look(context, context.trace))
    except JobFailed:
        undo, params = f"undo-{context.trace}", params.model_copy(update={"how": ""})
        await context.step("undo", StepKind.IDEMPOTENT, lambda effect: order(context, params, effect, undo))
        raise
    return {}


PLACES = (
    "before_intent", "after_intent", "after_sending", "frame_arrived", "effect_done", "after_answer",
    "between_steps", "before_done",
)  # fmt: skip
# Where nobody can know from here whether the effect is upstream.
AMBIGUOUS = frozenset({"after_sending", "frame_arrived", "effect_done", "after_answer"})


async def perilous(context: JobContext, params: ToyParams) -> Mapping[str, Any]:
    """Order once, and say at each boundary where it is: there the test may kill or pause this process."""
    tag = context.trace

    async def at(place: str) -> None:
        told = {"place": place, "tag": tag, "pid": os.getpid()}
        async with aiohttp.ClientSession(context.settings.url) as session:
            await session.post("/at", json=told)

    async def work(effect: Effect) -> dict[str, Any]:
        await at("after_intent")
        await effect.sending(tag=tag)
        await at("after_sending")
        async with (
            aiohttp.ClientSession(context.settings.url) as session,
            session.post("/order", json={"tag": tag, "pid": os.getpid()}) as answer,
        ):
            found = await answer.json()
        await at("after_answer")
        return found

    await at("before_intent")
    await context.step("order", StepKind.UNSAFE, work, probe=probe_of(context, params), suppose=supposed)
    await at("between_steps")
    await context.sleep(0.2)
    chosen = await context.ask("go", "Shall it go on?", ["yes"], within_s=600)
    await context.step("after", StepKind.READ, lambda _: look(context, tag))
    await at("before_done")
    return {"chosen": chosen.choice if chosen else ""}


async def sectioned(context: JobContext, params: ToyParams) -> Mapping[str, Any]:
    """Order within a section, and say when it is inside."""

    async def work(effect: Effect) -> dict[str, Any]:
        async with context.section("toy"), aiohttp.ClientSession(context.settings.url) as session:
            told = {"place": "in_section", "tag": context.trace, "pid": os.getpid()}
            await session.post("/at", json=told)
            return await order(context, params, effect, context.trace)

    return await context.step("order", StepKind.UNSAFE, work)


async def hasty(context: JobContext, params: ToyParams) -> Mapping[str, Any]:
    """End by an error while an order of its own is still on its way, as careless code might."""

    async def fails(_: Effect) -> None:
        raise Rejected("not this")

    sending = asyncio.ensure_future(
        context.step("order", StepKind.UNSAFE, lambda effect: order(context, params, effect, context.trace))
    )
    while not (await look(context, context.trace))["done"]:
        await asyncio.sleep(0.01)
    try:
        await context.step("other", StepKind.READ, fails)
    finally:
        sending.cancel()
    return {}


async def self_cancelling(context: JobContext, params: ToyParams) -> Mapping[str, Any]:
    """Cancel itself in the middle of an order, as a timeout does that nobody catches."""

    async def work(effect: Effect) -> dict[str, Any]:
        await order(context, params, effect, context.trace)
        raise asyncio.CancelledError

    return await context.step("order", StepKind.UNSAFE, work)


async def broken(context: JobContext, params: ToyParams) -> Mapping[str, Any]:
    """Code with a defect whose text nobody should see."""
    raise KeyError(f"secret {params.session_token}")


def planned(settings: Any, params: ToyParams) -> list[Planned]:
    """Answer what would be sent."""
    return [Planned("http", f'{{"session_token":"{params.session_token}","resource":"{params.resource}"}}')]


def per_resource(params: ToyParams) -> list[str]:
    return [f"resource:{params.resource}"]


async def learning(context: JobContext, params: ToyParams) -> Mapping[str, Any]:
    """Learn on the way what is worked on, and take its lock before the order."""
    await context.lock(f"resource:{params.resource}")
    return await one(context, params)


KINDS = (
    JobKind("one", "Order once", ToyParams, one, locks=per_resource, plan=planned),
    JobKind("few", "At most two at a time", ToyParams, one, at_once=2),
    JobKind("careful", "Ask first", ToyParams, careful, seconds_max=120),
    JobKind("compensating", "Put things right", ToyParams, compensating),
    JobKind("perilous", "Say where it is", ToyParams, perilous),
    JobKind("anew", "A retry sends it again", ToyParams, one, resumes=False),
    JobKind("sectioned", "In a section", ToyParams, sectioned),
    JobKind("hasty", "Ends too early", ToyParams, hasty),
    JobKind("self_cancelling", "Cancels itself", ToyParams, self_cancelling),
    JobKind("broken", "A defect", ToyParams, broken),
    JobKind("short", "A minute at most", ToyParams, one, seconds_max=60),
    JobKind("learning", "Locks on the way", ToyParams, learning),
    JobKind(
        "stored", "Locks what the house knows", ToyParams, one,
        locks=lambda _: ["stored"], known_locks=lambda tx, connection, params: per_resource(params),
    ),
    JobKind("outside", "Done by others", ToyParams, one, locks=per_resource, external=True),
)  # fmt: skip

CONNECTOR = Connector("toy", "Toy", ToySettings, None, jobs=KINDS, world="vehicles")
