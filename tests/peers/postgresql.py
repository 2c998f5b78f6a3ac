"""A real PostgreSQL from Debian's binaries, with a fresh database for each test."""

from __future__ import annotations

import itertools
import os
import pwd
import re
import shutil
import signal
from pathlib import Path

from tests.peers.ground import Ground, children, is_running, missing, run, wait_until

USER = "atalaia"
# The machine does not lose power in tests, only processes die; so nothing needs to wait for the disk.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
}


class PostgreSQL:
    """One server of this test session."""

    def __init__(self, ground: Ground, binaries: Path) -> None:
        self._ground, self.binaries = ground, binaries
        self.port = ground.port()
        self.data = ground.folder / "postgresql"
        self.log = ground.folder / "postgresql.log"
        self._number = itertools.count(1)

    def initialise(self) -> None:
        self.data.mkdir()
        self.log.touch()
        if os.getuid() == 0:
            for path in (self.data, self.log):
                shutil.chown(path, _server_user())
        self._run("initdb", "-D", self.data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        lines = [f"{key} = '{value}'" for key, value in {**SETTINGS, "port": str(self.port)}.items()]
        with open(self.data / "postgresql.conf", "a") as file:
            file.write("\n".join(lines) + "\n")

    @property
    def pid(self) -> int | None:
        note = self.data / "postmaster.pid"
        try:
            pid = int(note.read_text().split()[0])
        except (OSError, IndexError, ValueError):
            return None
        return pid if is_running(pid) else None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._run("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "60", "-s", "start")
        pid = self.pid
        assert pid is not None
        self._ground.remember("postgresql", pid)

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: `immediate` cuts all connections and recovers at the next start; also `fast`, `smart`."""
        self.resume()
        if self.pid is not None:
            self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-s", "-m", mode, "stop")

    def crash(self) -> None:
        """Kill every process of the server at once."""
        pid = self.pid
        if pid is None:
            return
        family = children(pid)
        for one in family:
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                pass  # a backend may end meanwhile
        wait_until(lambda: not any(is_running(one) for one in family), 30, "the end of PostgreSQL")
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze all its processes: connections stay, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def new_database(self) -> str:
        """Make an empty database and answer its URL, `postgresql+asyncpg://…`."""
        name = f"test_{next(self._number)}"
        self.psql("postgres", f'create database "{name}"')
        return self.url(name)

    def url(self, database: str, driver: str = "postgresql+asyncpg") -> str:
        return f"{driver}://{USER}@127.0.0.1:{self.port}/{database}"

    def psql(self, database: str, sql: str) -> str:
        """Run SQL as the owner; answers rows as lines, columns parted by `|`."""
        database = re.sub(r".*/", "", database)  # a URL of new_database does as well
        return run(
            [self.binaries / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database,
             "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]
        )  # fmt: skip

    def heal(self) -> None:
        self.resume()
        if self.pid is None:
            self.start()

    def close(self) -> None:
        self.stop()

    def _signal(self, what: signal.Signals) -> None:
        pid = self.pid
        for one in children(pid) if pid else ():
            try:
                os.kill(one, what)
            except ProcessLookupError:
                pass  # a backend may end meanwhile

    def _run(self, program: str, *words: str | Path) -> str:
        command: list[str | Path] = [self.binaries / program, *words]
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            user = pwd.getpwnam(_server_user())
            command = [
                "setpriv",
                f"--reuid={user.pw_uid}",
                f"--regid={user.pw_gid}",
                "--clear-groups",
                *command,
            ]
        return run(command, cwd=Path("/"))


def _server_user() -> str:
    names = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def make(ground: Ground) -> PostgreSQL:
    """Start one, or say why that is not possible here."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        missing("PostgreSQL is not installed: apt-get install postgresql")
    server = PostgreSQL(ground, found[-1].parent)
    server.initialise()
    server.start()
    return server
