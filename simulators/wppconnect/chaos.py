"""Starts and ends faults by name: most are rules that the doors ask for, some are deeds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulators.rules import Rule
from simulators.switches import Switches
from simulators.wppconnect.faults import EVERYWHERE, FAULTS, NATURAL

if TYPE_CHECKING:
    from simulators.wppconnect.server import WppSimulator

HEALED_BY_A_NEW_PAGE = ("deaf", "socket_timeout")


class Chaos(Switches):
    """The fault switches, each for a session or for all that have a phone."""

    scope_option = "session"

    def __init__(self, sim: WppSimulator) -> None:
        super().__init__(FAULTS, sim.clock)
        self.sim = sim
        self.host = sim.host
        self._fights: dict[str, asyncio.Task[None]] = {}
        self._deeds: dict[str, Callable[..., Awaitable[None]]] = {
            "page_crash": self._page_crash,
            "page_hang": self._page_hang,
            "browser_killed": self._browser_killed,
            "socket_timeout": self._socket_timeout,
            "conflict": self._conflict,
            "device_removed": self._device_removed,
            "orphan_browser": self._orphan_browser,
            "lid_migration": self._lid_migration,
            "server_gone": self._server_gone,
            "server_restart": self._server_restart,
            "gateway_gone": self._gateway_gone,
        }
        self._ends: dict[str, Callable[[str], Awaitable[None]]] = {
            "page_hang": self._page_thaws,
            "socket_timeout": self._page_back,
            "conflict": self._peace,
            "server_gone": self._server_back,
            "gateway_gone": self._gateway_back,
        }
        self.host.page_loads = self._heal

    async def start(
        self, name: str, seconds: float | None = None, times: int | None = None, **options: Any
    ) -> None:
        """Begin a fault, for one `session` or, without, for each that has a phone."""
        scope = str(options.get("session") or "")
        if name in NATURAL:
            for session in self._whom(scope):
                self.host.cured.discard((name, session))
                if phone := options.get("phone"):
                    self.host.called_strangers.setdefault(session, set()).add(str(phone))
        elif name in FAULTS and name not in EVERYWHERE and not scope:
            for session in self._whom(scope):
                await super().start(name, seconds, times, **{**options, "session": session})
        else:
            await super().start(name, seconds, times, **options)

    async def stop(self, name: str, scope: str = "") -> None:
        """End a fault, for one session or all; a natural one is ended by a cure."""
        if name in NATURAL:
            for session in self._whom(scope):
                self.host.cured.add((name, session))
                if name == "double_reply_400_but_sent":
                    self.host.called_strangers.pop(session, None)
        await super().stop(name, scope)

    def _whom(self, scope: str) -> list[str]:
        return [scope] if scope else list(self.host.phones)

    async def begin(self, name: str, times: int | None, options: dict[str, Any]) -> None:
        if FAULTS[name].kind == "lasting":
            self.host.rules.add(Rule(name, options, times))
        if (deed := self._deeds.get(name)) is not None:
            await deed(**options)

    async def end(self, name: str, scope: str) -> None:
        rules = self.host.rules
        rules.active = [
            one for one in rules.active if one.name != name or self.scope(one.options) not in ("", scope)
        ]
        if (end := self._ends.get(name)) is not None:
            await end(scope)

    def active(self, name: str) -> bool:
        # A rule that was counted down is over, although nobody ended it.
        return bool(self.for_whom(name)) or any(rule.name == name for rule in self.host.rules.active)

    def for_whom(self, name: str) -> list[str]:
        """Answer the sessions that a fault holds for."""
        if name in NATURAL:
            return [one for one in self.host.phones if self.host.natural(name, one)]
        scopes = {self.scope(rule.options) for rule in self.host.rules.active if rule.name == name}
        return sorted(scopes - {""})

    def as_json(self) -> list[dict[str, object]]:
        """Answer all faults as the panel wants them, and for which `sessions` each is active."""
        rows = super().as_json()
        for row in rows:
            row["sessions"] = self.for_whom(str(row["name"]))
            row["natural"] = row["name"] in NATURAL
        return rows

    def _heal(self, session: str) -> None:
        """A page is loaded anew: what was wrong with the old one is over, unless it is stubborn."""
        for rule in list(self.host.rules.active):
            mine = rule.name in HEALED_BY_A_NEW_PAGE and rule.options.get("session") == session
            if mine and not rule.options.get("stubborn"):
                self.host.rules.active.remove(rule)
                self.until.pop((rule.name, session), None)

    # ---- pages and browsers --------------------------------------------------------------

    async def _page_crash(self, session: str, close_hangs: bool = True) -> None:
        if (page := self.host.session(session).page) is not None:
            page.crashed = True
            page.close_hangs = close_hangs

    async def _page_hang(self, session: str) -> None:
        if (page := self.host.session(session).page) is not None:
            page.freeze()

    async def _page_thaws(self, session: str) -> None:
        if (page := self.host.session(session).page) is not None:
            page.thaw()
        self._reconnect(session)

    async def _browser_killed(self, session: str) -> None:
        self.host.end_browser(session)

    async def _orphan_browser(self, session: str, **_: Any) -> None:
        """Leave a browser to a session that is not running; a running one leaves it when it is closed."""
        client, profile = self.host.session(session).client, self.host.profile(session)
        free = profile.browser is None or profile.browser.ended.is_set()
        if free and (client is None or client.status in (None, "CLOSED")):
            self.host.launch(profile).orphan = True
            self.host.rules.take("orphan_browser", session=session)

    async def _socket_timeout(self, session: str, **_: Any) -> None:
        if (page := self.host.session(session).page) is not None:
            page.connected = False

    async def _page_back(self, session: str) -> None:
        self._reconnect(session)

    def _reconnect(self, session: str) -> None:
        one = self.host.session(session)
        if one.page is not None and one.listener is not None:
            one.page.connected = True
            one.listener.back()

    async def _conflict(self, session: str, every_s: float = 20.0, out_s: float = 10.0) -> None:
        async def fight() -> None:
            while True:
                await self._socket_timeout(session)
                await self.sim.clock.sleep(out_s)
                self._reconnect(session)
                await self.sim.clock.sleep(every_s)

        self._fights[session] = self.host.spawn(fight())

    async def _peace(self, session: str) -> None:
        if (fight := self._fights.pop(session, None)) is not None:
            fight.cancel()
        self._reconnect(session)

    async def _device_removed(self, session: str) -> None:
        self.host.spawn(self.host.session(session).removed())

    async def _lid_migration(self, session: str, contact: str = "") -> None:
        phone = self.host.phones[session]
        handle = phone.find(contact) if contact else ""
        if contact and not handle:
            raise LookupError(contact)
        if not handle:
            fresh = [one.handle for one in phone.people.values() if one.number and not one.migrated]
            handle = self.host.random.choice(fresh) if fresh else ""
        if handle in phone.people:
            phone.migrate(handle)

    # ---- servers -------------------------------------------------------------------------

    async def _server_gone(self) -> None:
        await self.sim.doors["server"].close()

    async def _server_back(self, scope: str) -> None:
        await self.sim.doors["server"].open()

    async def _gateway_gone(self) -> None:
        await self.sim.doors["gateway"].close()

    async def _gateway_back(self, scope: str) -> None:
        await self.sim.doors["gateway"].open()

    async def _server_restart(self, down_s: float = 5.0, orphans: bool = False) -> None:
        await self.sim.restart_server(down_s, orphans=orphans)


@dataclass(frozen=True)
class SessionFaults:
    """The switches of one session, for a panel that shows sessions side by side."""

    chaos: Chaos
    session: str

    async def start(
        self, name: str, seconds: float | None = None, times: int | None = None, **options: Any
    ) -> None:
        """Begin a fault for this session; those of the whole server or gateway are for everybody."""
        about = options if name in EVERYWHERE else {**options, "session": self.session}
        await self.chaos.start(name, seconds, times, **about)

    async def stop(self, name: str) -> None:
        await self.chaos.stop(name, "" if name in EVERYWHERE else self.session)

    def as_json(self) -> list[dict[str, object]]:
        """Answer all faults, with `active` and `left_s` as they are for this session."""
        now = self.chaos.sim.clock.monotonic()
        rows: list[dict[str, object]] = []
        for row in self.chaos.as_json():
            name = str(row["name"])
            if name not in EVERYWHERE:
                until = self.chaos.until.get((name, self.session))
                active = self.session in self.chaos.for_whom(name)
                left = None if until is None or not active else round(max(0.0, until - now), 1)
                row = {**row, "active": active, "left_s": left}
            rows.append(row)
        return rows


@dataclass(frozen=True)
class OneSession:
    """One session of the simulator, as the demo's panel takes it."""

    faults: SessionFaults
