"""The simulated WhatsApp gateway as a whole: phones, server, gateway, faults, and three real ports."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from atalaia.clock import Clock
from simulators.wppconnect.api import Api
from simulators.wppconnect.chaos import Chaos, OneSession, SessionFaults
from simulators.wppconnect.control import Control
from simulators.wppconnect.doors import Door
from simulators.wppconnect.gateway import INTAKE, Gateway
from simulators.wppconnect.host import Config, Host
from simulators.wppconnect.ledger import ledger_json
from simulators.wppconnect.load import Load
from simulators.wppconnect.models import Json
from simulators.wppconnect.pace import Pace
from simulators.wppconnect.page import profile_json
from simulators.wppconnect.phone import Phone
from simulators.wppconnect.population import Population
from simulators.wppconnect.session import Session
from simulators.wppconnect.world import PhoneOwner, World, demo_world


class WppSimulator:
    """A wppconnect-server and the gateway before it, each on a port of its own, and the phones behind.

    Times come from `clock`, chance from `random`, pauses from `pace`. `folder` keeps phones, profiles,
    tokens and channels over a restart of the process. `config`: more of the server's own configuration.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        random: Random,
        secret_key: str,
        gateway_secret: str,
        pace: Pace | None = None,
        world: World | None = None,
        folder: Path | None = None,
        newer_gateway: bool = True,
        config: Json | None = None,
    ) -> None:
        self.clock = clock
        world = world or demo_world()
        self.host = Host(clock, random, Config(secret_key, **(config or {})), pace or Pace(), folder)
        self.host.strangers = set(world.strangers)
        self.load = Load(self.host)
        self.faults = Chaos(self)
        for owner in world.owners:
            self.add_owner(owner)
        self.gateway = Gateway(self.host, gateway_secret, dict(world.aliases), folder, newer=newer_gateway)
        for channel in world.channels:
            self.gateway.add_channel(channel)
        self.api = Api(self)
        self.doors = {
            "server": Door(self.api.application()),
            "gateway": Door(self.gateway.application()),
            "control": Door(Control(self).application()),
        }

    def add_owner(self, owner: PhoneOwner) -> Phone:
        """Put a phone into the world, with what it had in an earlier run."""
        phone = self.host.add_phone(owner.session, owner.account)
        first = not phone.people and not phone.messages and not phone.linked
        for person in owner.people:
            phone.add_person(person)
        for group in owner.groups:
            phone.add_group(group)
        self.host.session(owner.session)
        if owner.paired and first:
            self.host.pair(self.host.profile(owner.session), phone)
        return phone

    # ---- ports ---------------------------------------------------------------------------

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, gateway_port: int = 0, control_port: int = 0
    ) -> None:
        """Open the ports; 0 takes a free one. Sessions with a stored token start by themselves."""
        for name, number in (("server", port), ("gateway", gateway_port), ("control", control_port)):
            self.doors[name].host, self.doors[name].port = host, number
            await self.doors[name].open()
        self.gateway.server.base = self.server_url
        self.host.config.webhook_url = self.host.config.webhook_url or self.gateway_url + INTAKE
        if self.host.config.start_all_session:
            self.start_all()

    async def stop(self) -> None:
        """End everything: faults, sessions, connections, ports."""
        await self.faults.stop_all()
        await self.host.stop()
        await self.gateway.close()
        for door in self.doors.values():
            await door.close()
            await door.stop()

    @property
    def server_url(self) -> str:
        """Answer where wppconnect-server listens; its routes are below `/api/SESSION/`."""
        return self.doors["server"].url

    @property
    def gateway_url(self) -> str:
        return self.doors["gateway"].url

    @property
    def control_url(self) -> str:
        return self.doors["control"].url

    def addresses(self) -> Json:
        """Answer everything a connection's settings need, but the secrets."""
        return {
            "server": self.server_url,
            "gateway": self.gateway_url,
            "control": self.control_url,
            "sessions": list(self.host.phones),
            "channels": list(self.gateway.channels),
        }

    # ---- the server's process ------------------------------------------------------------

    def start_all(self) -> None:
        """Start every session that has a stored token, as the server does at its own start."""
        for name in list(self.host.tokens):
            self.session(name).start({})

    async def restart_server(self, down_s: float, *, orphans: bool = False) -> None:
        """End the server's process, all sessions with it, and start it again `down_s` later.

        `orphans`: its browsers go on and keep their profiles, so that the sessions come back stuck.
        """
        await self.doors["server"].close()
        for profile in list(self.host.profiles.values()):
            browser = profile.browser
            if browser is None or browser.ended.is_set():
                continue
            if orphans:
                browser.orphan = True
            else:
                browser.ended.set()
                profile.browser = None
        for session in self.host.sessions.values():
            session.forget()
        self.host.spawn(self._server_back(down_s))

    async def _server_back(self, down_s: float) -> None:
        await self.clock.sleep(down_s)
        self.host.started_at = self.clock.monotonic()
        await self.doors["server"].open()
        if self.host.config.start_all_session:
            self.start_all()

    # ---- what tests and the demo ask for -------------------------------------------------

    def session(self, name: str) -> Session:
        return self.host.session(name)

    def phone(self, session: str) -> Phone:
        return self.host.phones[session]

    def one(self, session: str) -> OneSession:
        """Answer one session with fault switches of its own, for panels."""
        return OneSession(SessionFaults(self.faults, session))

    def scan(self, session: str, phone: str = "", code: str = "") -> str:
        """Read a session's code with a phone, its own by default; answers why not, or an empty text."""
        return self.session(session).scan(self.phone(phone or session), code)

    def end_browser(self, profile: str) -> bool:
        """End the browser of a profile, as an operator does on the server's machine."""
        return self.host.end_browser(profile)

    def populate(self, session: str, per_hour: float, *, seed: int = 1, **habits: Any) -> Population:
        """Let a phone's contacts write, until the simulator stops. `habits`: of `Population`."""
        population = Population(self.host, self.phone(session), seed, per_hour, **habits)
        self.host.spawn(population.run())
        return population

    def ledger(self, session: str = "") -> Json:
        """Answer what was placed on the phones, or on one."""
        return ledger_json(self.host.phones.values(), session)

    def disturbed(self, session: str) -> int:
        """Answer how often somebody closed, started or logged out a session over HTTP."""
        calls = self.api.calls.get(session, Counter[str]())
        return sum(calls[route] for route in ("start-session", "close-session", "logout-session"))

    def destroyed(self) -> list[str]:
        """Answer what somebody called by HTTP that takes a pairing away, also through the gateway."""
        return [
            f"{route} {name}"
            for name, calls in self.api.calls.items()
            for route in ("logout-session", "clear-session-data")
            if calls[route]
        ]

    def state(self) -> Json:
        """Answer what goes on inside, for the fault panel and for tests."""
        return {
            "sessions": [_session_json(one) for one in self.host.sessions.values()],
            "profiles": [profile_json(one) for one in self.host.profiles.values()],
            "webhooks": dict(self.host.webhooks.counts),
            "webhooks_lost": sum(bool(one.lost) for one in self.host.webhooks.sent),
            "envelopes": len(self.gateway.relay.deliveries),
            "envelopes_lost": sum(one.lost for one in self.gateway.relay.deliveries),
            "too_large": self.gateway.refused,
            "calls": {name: dict(calls) for name, calls in self.api.calls.items()},
            "failures": [repr(error) for error in self.host.failures],
        }


def _session_json(session: Session) -> Json:
    """Answer what a session claims beside what is true of its page."""
    client, page = session.client, session.page
    browser = client.browser if client is not None else None
    return {
        "session": session.name,
        "status": client.status if client is not None else None,
        "browser": bool(browser is not None and not browser.ended.is_set()),
        "page_alive": bool(page is not None and page.alive),
        "hears": bool(page is not None and page.alive and page.connected),
        "urlcode": client.urlcode if client is not None else "",
        "phone_code": client.phone_code if client is not None else "",
        "log": list(session.log)[-20:],
    }
