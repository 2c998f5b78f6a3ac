"""The test before a connection is saved: each step says what was seen and, when it failed, what to do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import aiohttp
from pydantic import BaseModel

from atalaia.ambient import Ambient
from atalaia.clock import to_ms, within
from atalaia.connections.session import CheckStep
from atalaia.connectors.asterisk import frames
from atalaia.connectors.asterisk.ami import read_banner
from atalaia.connectors.asterisk.ari import Answer, Ari, AriFailed, Socket, connects
from atalaia.connectors.asterisk.protocol import CanaryLost, Failure, Status, judge
from atalaia.connectors.asterisk.settings import AsteriskSettings
from atalaia.connectors.asterisk.sources import read_mq_servers
from atalaia.connectors.asterisk.watch import Book, unknown_to_asterisk
from atalaia.connectors.asterisk.wavs import list_wavs
from atalaia.errors import Refused

T = TypeVar("T")

LOOKUP_WITHIN_S = 5.0
USUAL_PREFIXES = ("", "asterisk")
PROBLEMS_SHOWN = 5


async def check(settings: BaseModel, ambient: Ambient) -> list[CheckStep]:
    """Try the settings without touching the log. Never raises for what the other side does."""
    return await _Checker(cast("AsteriskSettings", settings), ambient).run()


class _Checker:
    def __init__(self, settings: AsteriskSettings, ambient: Ambient) -> None:
        self._settings = settings
        self._ambient = ambient
        self._clock = ambient.clock
        self._steps: list[CheckStep] = []
        self._read_only = False
        self._endpoints: list[str] | None = None

    async def run(self) -> list[CheckStep]:
        if await self._name() and await self._port():
            try:
                async with Ari(self._settings, self._ambient) as ari:
                    if await self._ari(ari):
                        await self._events(ari)
                        await self._list_endpoints(ari)
            except Refused as error:
                self._say("ARI", "failed", str(error), error.ask)
        for name in ("Host name", "Port", "ARI", "Rights", "Events"):
            if all(step.name != name for step in self._steps):
                self._say(name, "skipped", "Not tried, because an earlier step failed.")
        await self._ami()
        await self._configuration()
        await self._recordings()
        await self._rabbitmq()
        return self._steps

    def _say(
        self,
        name: str,
        outcome: Literal["ok", "failed", "skipped"],
        said: str,
        todo: str = "",
        **evidence: Any,
    ) -> bool:
        self._steps.append(CheckStep(name, outcome, said, todo, evidence))
        return outcome == "ok"

    def _failed(self, name: str, failure: Failure, todo: str) -> bool:
        verdict = judge(failure, self._settings.where)
        ask = verdict.error.ask if isinstance(verdict.error, Refused) else todo
        return self._say(name, "failed", str(verdict.error), ask, health=verdict.health)

    # Reaching it.

    async def _name(self) -> bool:
        host = self._settings.host
        try:
            found = await within(self._clock, LOOKUP_WITHIN_S, _addresses(host, self._settings.port))
        except (OSError, TimeoutError):
            return self._say("Host name", "failed", f"The name {host} is not known.", "Correct the address.")
        return self._say("Host name", "ok", f"{host} leads to {', '.join(found)}.")

    async def _port(self) -> bool:
        where = self._settings.where
        began = self._clock.monotonic()
        if await connects(self._settings.host, self._settings.port, self._limit):
            took_ms = round((self._clock.monotonic() - began) * 1000, 2)
            return self._say("Port", "ok", f"{where} accepts connections.", took_ms=took_ms)
        todo = "Check that Asterisk runs, `enabled` and `bindaddr` in http.conf, and firewalls between."
        return self._say("Port", "failed", f"Nothing accepts connections on {where}.", todo)

    async def _limit(self, work: Coroutine[Any, Any, T]) -> T:
        return await within(self._clock, self._settings.answer_within_s, work)

    # Talking to it.

    async def _ari(self, ari: Ari) -> bool:
        path = "/asterisk/info"
        try:
            answer = await ari.get(path)
        except AriFailed as failed:
            return self._failed("ARI", failed.failure, "Look at Asterisk: its port is open, but it is stuck.")
        if answer.status == 404 and (hint := await self._other_prefix()) is not None:
            said = f"ARI does not answer below the prefix “{self._settings.prefix}”, but below “{hint}”."
            todo = f"Set the prefix to “{hint}”." if hint else "Leave the prefix empty."
            return self._say("ARI", "failed", said, todo, prefix=hint)
        if answer.status != 200:
            todo = "Check `enabled` in ari.conf, the prefix in http.conf, and that res_ari is loaded."
            return self._failed("ARI", Status(answer.status, path), todo)
        return self._say_info(answer)

    def _say_info(self, answer: Answer) -> bool:
        info = answer.json()
        version, name = _text(info, "system", "version"), _text(info, "config", "name")
        if not version:
            return self._say(
                "ARI", "failed", "Something answers there, but it is not Asterisk.", "Correct the address."
            )
        said = f"Asterisk {version}" + (f" called {name}" if name else " (no systemname in asterisk.conf)")
        started = _text(info, "status", "startup_time")
        return self._say("ARI", "ok", f"{said}.", version=version, systemname=name, startup_time=started)

    async def _other_prefix(self) -> str | None:
        for prefix in USUAL_PREFIXES:
            if prefix == self._settings.prefix:
                continue
            try:
                async with Ari(self._settings, self._ambient, base=self._settings.ari_with(prefix)) as ari:
                    if (await ari.get("/asterisk/info")).status in (200, 401):
                        return prefix
            except AriFailed:
                continue
        return None

    async def _events(self, ari: Ari) -> None:
        suffix = f"{self._ambient.random.getrandbits(32):08x}"
        app = f"{self._settings.app_prefix}-{self._settings.server}-check-{suffix}"
        try:
            socket = await ari.open_events(app)
        except AriFailed as failed:
            self._failed("Events", failed.failure, "Allow WebSockets on the way to Asterisk (proxies).")
            return
        try:
            await self._round_trip(ari, socket, app)
        finally:
            await socket.close()

    async def _round_trip(self, ari: Ari, socket: Socket, app: str) -> None:
        within_s = self._settings.canary_within_s
        began = self._clock.monotonic()
        try:
            answer = await ari.send_canary(app, 1, within_s=within_s)
            self._say_rights(answer)
            if self._read_only:
                known = (await ari.get(f"/applications/{app}")).status == 200
                said = "The event socket is open and Asterisk knows our application (read-only: no canary)."
                self._say(
                    "Events", "ok" if known else "failed", said if known else "Asterisk forgot our app."
                )
                return
            await within(self._clock, within_s, _canary(socket, app))
        except AriFailed as failed:
            self._failed("Events", failed.failure, "Try again; if it stays so, look at Asterisk's log.")
            return
        except (TimeoutError, ConnectionError, aiohttp.ClientError):
            todo = "Restart res_ari (or Asterisk), and look at Asterisk's log for res_http_websocket."
            self._failed("Events", CanaryLost(within_s), todo)
            return
        took_ms = round((self._clock.monotonic() - began) * 1000, 2)
        self._say("Events", "ok", f"Our own event came back in {took_ms:g} ms.", canary_ms=took_ms)

    def _say_rights(self, answer: Answer) -> None:
        self._read_only = answer.status == 403
        if self._read_only:
            todo = "Set `read_only = no` for the user in ari.conf, so that the event socket can be proven."
            self._say(
                "Rights", "ok", "The user may only read; that is enough to listen.", todo, read_only=True
            )
        elif answer.status in (200, 204):
            self._say("Rights", "ok", "The user may read and write.", read_only=False)
        else:
            self._failed("Rights", Status(answer.status, "/events/user"), "Look at the user in ari.conf.")

    async def _list_endpoints(self, ari: Ari) -> None:
        try:
            answer = await ari.get("/endpoints")
        except AriFailed:
            return
        rows = answer.json()
        if answer.status == 200 and isinstance(rows, list):
            found = [one for one in cast("list[dict[str, Any]]", rows) if one.get("technology") == "PJSIP"]
            self._endpoints = [str(one.get("resource")) for one in found]

    async def _ami(self) -> None:
        if self._settings.ami is None:
            self._say(
                "AMI", "skipped", "No AMI port is set.", "Give one (5038) to see a hung Asterisk sooner."
            )
            return
        banner = await read_banner(*self._settings.ami, self._clock)
        todo = "" if banner.proven else "Check manager.conf, or leave the AMI port empty."
        self._say("AMI", "ok" if banner.proven else "failed", banner.said, todo, banner_ms=banner.took_ms)

    # What lies beside it.

    async def _configuration(self) -> None:
        book = Book(self._settings, self._clock)
        await book.read()
        if book.directory is None:
            self._say("Configuration", "failed", book.trouble, "Make it readable, or choose another source.")
            return
        directory = book.directory
        counts = (len(directory.clients), len(directory.endpoints), len(directory.ring_groups))
        said = "{} clients, {} endpoints, {} ring groups.".format(*counts)
        errors = [str(one) for one in directory.problems if one.level == "error"]
        todo = "Set the folder or the database that lists them." if not directory.clients else ""
        if errors:
            todo = "Correct: " + " · ".join(errors[:PROBLEMS_SHOWN])
        shown = [str(one) for one in directory.problems[:50]]
        failed = bool(errors) or not directory.clients
        self._say("Configuration", "failed" if failed else "ok", said, todo, problems=shown)
        self._compare_endpoints(unknown_to_asterisk(directory, self._endpoints or []))

    def _compare_endpoints(self, unknown: list[str]) -> None:
        if self._endpoints is None:
            return
        if not unknown:
            self._say("Endpoints", "ok", f"Asterisk knows {len(self._endpoints)} endpoints, ours among them.")
            return
        said = f"Asterisk knows nothing of {len(unknown)} endpoints: {', '.join(unknown[:5])}."
        self._say("Endpoints", "failed", said, "Reload PJSIP on Asterisk, or correct the configuration.")

    async def _recordings(self) -> None:
        folder = self._settings.recordings_folder
        if not folder:
            todo = "Give it, so that calls which end while nobody listens get their true length."
            self._say("Recordings", "skipped", "No recordings folder is set.", todo)
            return
        since_s = to_ms(self._clock.now()) / 1000 - self._settings.recordings_back_h * 3600
        try:
            found = await asyncio.to_thread(list_wavs, Path(folder), since_s)
        except OSError as error:
            said = f"The folder {folder} cannot be read ({(error.strerror or 'unknown').lower()})."
            self._say("Recordings", "failed", said, "Correct the folder or its permissions.")
            return
        said = f"{len(found)} recordings of the last {self._settings.recordings_back_h:g} hours."
        self._say("Recordings", "ok", said)

    async def _rabbitmq(self) -> None:
        servers, problems = await asyncio.to_thread(read_mq_servers, self._settings.sources)
        if problems:
            said = f"The list of RabbitMQ servers has {len(problems)} problem(s)."
            self._say("RabbitMQ", "failed", said, " · ".join(str(one) for one in problems[:PROBLEMS_SHOWN]))
        elif not servers:
            todo = "Fill __MQSERVERS__.DEF when messages shall go to RabbitMQ."
            self._say("RabbitMQ", "skipped", "No RabbitMQ server is listed.", todo)
        else:
            named = ", ".join(f"{one.name} ({one.host}:{one.port})" for one in servers)
            self._say("RabbitMQ", "ok", f"Listed, in order of preference: {named}.")


async def _addresses(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


async def _canary(socket: Socket, app: str) -> None:
    """Read the socket until our event number 1 comes."""
    while True:
        message = await socket.receive()
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            if frames.canary_number(cast("bytes", message.data), app) == 1:
                return
        elif message.type not in (aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG):
            raise ConnectionError


def _text(info: Any, *path: str) -> str:
    for key in path:
        info = cast("dict[str, Any]", info).get(key) if isinstance(info, dict) else None
    return info if isinstance(info, str) else ""
