"""One worker of the hub as a process of its own, to be paused and killed as in real life."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection

from atalaia.ambient import Ambient
from atalaia.connections.registry import Registry
from atalaia.connectors import CONNECTORS
from atalaia.connectors.setup import Setup
from atalaia.deliveries.formats import CloudEventsFormat, RawFormat
from atalaia.deliveries.subscription import create_subscription
from atalaia.desk.people.tokens import Tokens
from atalaia.secretbox import SecretBox
from atalaia.settings import Settings
from atalaia.store.connect import open_store
from atalaia.store.store import Store
from tests.peers.ground import ROOT, end_family, is_running, wait_until

T = TypeVar("T")
START_WITHIN_S = 60
READ_SCOPES = (
    "alerts:read", "calls:read", "connections:read", "connections:write", "deliveries:read",
    "deliveries:write", "events:read", "events:write", "system:read",
)  # fmt: skip


class Place:
    """Where the workers of one hub live: a data folder and perhaps a PostgreSQL database.

    What is set up here is set up while no worker runs; what is read is read beside them.
    """

    def __init__(
        self,
        folder: Path,
        database_url: str = "",
        allow: tuple[str, ...] = (),
        stable: Stable | None = None,
    ) -> None:
        self.folder = folder
        self.stable = stable
        self.database_url = database_url
        self.settings = Settings.model_validate(
            {"data_dir": folder, "database_url": database_url, "allow_private_targets": allow}
        )
        self.ambient = Ambient()
        self.workers: list[Worker] = []
        folder.mkdir(parents=True, exist_ok=True)
        self.box = SecretBox.from_file(self.settings.key_path)
        self.registry = Registry({name: one.settings for name, one in CONNECTORS.items()}, self.box)
        formats = [CloudEventsFormat(), RawFormat()]
        formats += [one for connector in CONNECTORS.values() for one in connector.formats]
        self.formats = {one.name: one for one in formats}

    async def furnish(self, work: Callable[[Furnisher, Connection], T]) -> T:
        """Change the hub's configuration in one transaction, before a worker runs."""
        store = await open_store(self.database_url, self.folder)
        try:
            return await store.write(lambda tx: work(Furnisher(self), tx))
        finally:
            await store.close()

    async def token(self, scopes: tuple[str, ...] = READ_SCOPES) -> str:
        """Make an API token, before a worker runs."""
        store = await open_store(self.database_url, self.folder)
        try:
            return (await Tokens(store, self.ambient).make("journey", scopes))[1]
        finally:
            await store.close()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Read the database beside the running workers."""
        store = await self._beside()
        try:
            return await store.read(work)
        finally:
            await store.close()

    async def _beside(self) -> Store:
        return await open_store(self.database_url, self.folder, exclusive=False)

    def worker(self) -> Worker:
        """Answer a worker that is not started yet."""
        self.workers.append(Worker(self, f"worker-{len(self.workers)}"))
        return self.workers[-1]

    def logs(self) -> str:
        """Answer everything the workers wrote to their logs."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.kill()


class Furnisher:
    """What a test sets up: connections with what they deliver, webhooks, switches."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._setup = Setup(place.registry, place.ambient, place.box, CONNECTORS, place.formats)

    def connection(self, tx: Connection, connector: str, name: str, **settings: Any) -> str:
        """Set a connection up as the screen does; answer its id."""
        read = self._setup.read(connector, settings)
        return self._setup.create(tx, connector, name, read, by="journey").id

    def subscribe(self, tx: Connection, given: Mapping[str, Any]) -> str:
        """Make a subscription; answer its id."""
        made = create_subscription(
            tx, self._place.ambient, self._place.box, given, formats=self._place.formats
        )
        return made.subscription.id

    def webhook(self, tx: Connection, url: str, secret: str, **more: Any) -> str:
        """Subscribe a webhook; answer the subscription's id."""
        given = {
            "name": "journey",
            "format": "cloudevents",
            "filter": {"types": ["call.*", "endpoint.*"]},
            "target": {"kind": "webhook", "url": url},
            "secrets": {"signing": [{"secret": secret}]},
            **more,
        }
        return self.subscribe(tx, given)


class Worker:
    """One process. `url` answers while it runs; its log is in the place's folder."""

    def __init__(self, place: Place, name: str) -> None:
        self.place, self.name = place, name
        self.url = ""
        self.sign_in = ""
        self.pid = 0
        self.starts = 0

    @property
    def log(self) -> Path:
        return self.place.folder / f"{self.name}.log"

    @property
    def runs(self) -> bool:
        return bool(self.pid) and is_running(self.pid)

    async def start(self, **environment: str) -> Worker:
        """Start it and wait until it serves."""
        told = self.spawn(environment)
        await asyncio.to_thread(self._wait_for_start, told)
        if b"\n" not in told.read_bytes():
            pytest.fail(f"{self.name} ended: {self.log.read_text()[-3000:]}", pytrace=False)
        said = json.loads(told.read_text().splitlines()[0])
        self.url, self.sign_in = said["url"], said["sign_in"]
        return self

    def _wait_for_start(self, told: Path) -> None:
        """Wait for the line that says where it is, or for its end."""
        wait_until(
            lambda: b"\n" in told.read_bytes() or not self.runs, START_WITHIN_S, f"the start of {self.name}"
        )

    def spawn(self, environment: Mapping[str, str] | None = None) -> Path:
        """Start the process without waiting; answer the file to which it says where it is."""
        self.starts += 1
        self.url = ""
        told = self.place.folder / f"{self.name}.{self.starts}.out"
        words = ["up", "--json", "--port", "0", "--data-dir", str(self.place.folder)]
        if self.place.database_url:
            words += ["--database-url", self.place.database_url]
        allowed = ",".join(self.place.settings.allow_private_targets)
        more = {"ATALAIA_ALLOW_PRIVATE_TARGETS": allowed, **(environment or {})}
        self.pid = (self.place.stable or _launch)(words, told, self.log, more)
        return told

    def kill(self) -> None:
        """SIGKILL: nothing is handed back, nothing is finished."""
        if self.runs:
            end_family(self.pid)
            wait_until(lambda: not self.runs, 30, f"the end of {self.name}")

    def pause(self) -> None:
        """SIGSTOP: it sleeps without knowing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def stop(self) -> None:
        """SIGTERM, and wait for its orderly end."""
        if self.runs:
            os.kill(self.pid, signal.SIGTERM)
            await asyncio.to_thread(wait_until, lambda: not self.runs, 30, f"the end of {self.name}")


def _launch(words: Sequence[str], told: Path, log: Path, environment: Mapping[str, str]) -> int:
    """Start the program in the ordinary way."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("ATALAIA_")}
    with open(told, "wb") as out, open(log, "ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "atalaia", *words],
            cwd=ROOT,
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # nobody else asks for its status
    return process.pid


class Stable:
    """Keeps a process that has loaded the program and forks workers, for tests that start hundreds.

    A worker of the stable is the same program from its first line on; only loading its modules is left out.
    program: another module that does the same, with connectors of a test's own for instance.
    """

    def __init__(self, program: str = "tests.journeys.stable") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", program],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __call__(self, words: Sequence[str], told: Path, log: Path, environment: Mapping[str, str]) -> int:
        assert self._process.stdin and self._process.stdout
        told.touch()
        asked = {"words": list(words), "out": str(told), "log": str(log), "environment": dict(environment)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        end_family(self._process.pid)
        self._process.communicate(timeout=30)
