"""A yard with portal and sockets, and what people do to installations there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from atalaia.clock import HeldClock, to_ms
from atalaia.connectors.traffilog.catalogs import Scheme
from atalaia.connectors.traffilog.installing import Form, Known, start_of
from atalaia.connectors.traffilog.portal import client
from atalaia.desk.installations import queries
from atalaia.desk.installations.actions import Done, Installations
from atalaia.desk.installations.fold import Installations as Fold
from atalaia.desk.installations.queries import Seen
from atalaia.events.log import read_after
from tests.connectors.traffilog.live.rig import settings_for
from tests.connectors.traffilog.live.yard import IMPATIENT, Telematics
from tests.connectors.traffilog.portal.bench import EMPTY_CLIENT, EMPTY_PLATE, STOCK_SERIAL
from tests.jobs.yard import CONNECTION
from tests.store.bases import Base

SCHEME, USED_CLIENT, OTHER_SCHEME = "5433", "310209", "5411"
PORTAL_USER, PORTAL_PASSWORD = "office", "test-only-c"
PATIENCE_S = 120
CLIENT_NAME = "Marítima Transportes"
KNOWN = Known(
    {EMPTY_CLIENT: CLIENT_NAME, USED_CLIENT: "Rápido Exemplo"},
    {"tech_01": "ANA EXEMPLO"},
    [
        Scheme(EMPTY_CLIENT, SCHEME, "Default", "active"),
        Scheme(USED_CLIENT, OTHER_SCHEME, "Default - Free mode", "active"),
    ],
)


def form(**more: Any) -> Form:
    """Answer the form of an installation on the empty vehicle."""
    return Form.model_validate(
        {
            "service": "INSTALL", "connection": CONNECTION, "plate": EMPTY_PLATE, "serial": STOCK_SERIAL,
            "client_id": EMPTY_CLIENT, "asset_type": "7547", "manufacturer": "Iveco", "model": "Stralis",
            "label": "RIGHT", "harness": "DOWN", "technician_id": "tech_01", "year": 2024, "color": "Branco",
            "chassis": "9BWZZZ377VT004251", "place": "Painel", "comment": "Installed", **more,
        }
    )  # fmt: skip


class Yard(Telematics):
    """Installations on a running worker. After each step the tables follow the log."""

    def __init__(self, base: Base, store: Any, clock: HeldClock) -> None:
        super().__init__(store, base.folder, clock, url=base.url)
        client.forget_all()
        self.acts = Installations(self.orders)
        self.fold = Fold(["file"])
        self._seen_seq = 0

    async def open(self, **changes: Any) -> None:
        """Open the upstream with its portal."""
        await self.sim.start()
        settings = settings_for(self.sim, **(IMPATIENT | self._portal() | changes))
        now = to_ms(self.clock.now())
        await self.store.write(
            lambda tx: self.registry.create(tx, CONNECTION, "traffilog", "Telematics", settings, now)
        )

    def _portal(self) -> dict[str, Any]:
        return {
            "portal_url": self.sim.portal_url, "portal_start_url": self.sim.portal_bootstrap_url,
            "portal_user": PORTAL_USER, "portal_password": PORTAL_PASSWORD, "root_group": "330020",
            "portal_within_s": 600, "portal_login_within_s": 600, "warmup_s": 1, "gate_fresh_s": 600,
        }  # fmt: skip

    async def begin(self, **more: Any) -> str:
        """Ask for an installation; answer its id."""
        asked = start_of(form(**more), KNOWN)
        done = await self.store.write(lambda tx: self.acts.start(tx, asked, by="ana"))
        return done.seen.installation.root

    async def act(self, work: Callable[[Connection, Installations], Done]) -> Done:
        return await self.store.write(lambda tx: work(tx, self.acts))

    async def see(self, root: str) -> Seen:
        """Answer the installation, its tables brought up to the log."""
        await self.store.write(self._follow)
        found = await self.store.read(lambda tx: queries.get(tx, root))
        assert found is not None
        return found

    def _follow(self, tx: Connection) -> None:
        while events := read_after(tx, self._seen_seq, limit=500):
            self.fold.apply(tx, [event for event in events if event.type in self.fold.types])
            self._seen_seq = events[-1].seq

    async def stands(self, root: str, word: str, needs: str = "") -> Seen:
        """Let time pass until the installation stands so. Minutes of held time go by: that takes a while."""
        end = time.monotonic() + PATIENCE_S
        while True:
            found = await self.store.read(lambda tx: queries.get(tx, root))
            assert found is not None
            if found.standing.word == word and needs in ("", found.standing.needs):
                return await self.see(root)
            told = [(job.step, job.state, job.reason, job.said, job.progress) for job in found.chain]
            assert time.monotonic() < end, f"{word} in vain: {found.standing} {told}"
            await self.clock.run_for(1.0)
            await asyncio.sleep(0.005)
