"""A real MariaDB from Debian's binaries: Asterisk's realtime tables and the old configuration live in one."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.peers.ground import Ground, end, is_running, missing, run, wait_until

SERVER = Path("/usr/sbin/mariadbd")
USER, PASSWORD = "atalaia", "test-only-mariadb"


@dataclass(frozen=True)
class Database:
    """One database; `realtime` is what ATALAIA_ASTERISK_REALTIME wants."""

    host: str
    port: int
    user: str
    password: str
    name: str

    @property
    def url(self) -> str:
        return f"mysql+pymysql://{self.user}:{self.password}@{self.host}:{self.port}/{self.name}"

    @property
    def realtime(self) -> str:
        return f"{self.host}:{self.port}:{self.user}:{self.password}:{self.name}"


class MariaDB:
    """One server of this test session."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.port = ground.port()
        self.data = ground.folder / "mariadb"
        self.socket = ground.folder / "mariadb.sock"
        self.log = ground.folder / "mariadb.log"
        self._number = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def initialise(self) -> None:
        run(["mariadb-install-db", "--no-defaults", f"--datadir={self.data}", "--user=root",
             "--auth-root-authentication-method=normal", "--skip-test-db"])  # fmt: skip

    @property
    def pid(self) -> int | None:
        pid = self._process.pid if self._process else None
        return pid if pid and is_running(pid) else None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [SERVER, "--no-defaults", f"--datadir={self.data}", f"--socket={self.socket}", "--user=root",
                 f"--port={self.port}", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0",
                 f"--pid-file={self.data}/pid", "--skip-name-resolve", "--innodb-buffer-pool-size=32M"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._ground.remember("mariadb", self._process.pid)
        wait_until(self._answers, 60, f"MariaDB (see {self.log})")

    def _answers(self) -> bool:
        tried = subprocess.run(
            ["mariadb-admin", "--no-defaults", f"--socket={self.socket}", "-u", "root", "ping"],
            capture_output=True,
            check=False,
        )
        return tried.returncode == 0

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self.resume()
            self._process.terminate()
            self._process.wait(60)

    def crash(self) -> None:
        if self._process:
            end(self._process.pid)
            self._process.wait(10)

    def pause(self) -> None:
        if pid := self.pid:
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        if pid := self.pid:
            os.kill(pid, signal.SIGCONT)

    def sql(self, text: str, database: str = "") -> str:
        """Run SQL as root; answers rows as lines, columns parted by tabs."""
        words = ["mariadb", "--no-defaults", f"--socket={self.socket}", "-u", "root", "-N", "-B", "-e", text]
        return run([*words, database] if database else words)

    def new_database(self, *schemas: Path) -> Database:
        """Make a database with a user of its own, and load the files into it."""
        name = f"test_{next(self._number)}"
        self.sql(
            f"create database {name} character set utf8mb4;"
            f"grant all on {name}.* to '{USER}'@'127.0.0.1' identified by '{PASSWORD}';"
            f"grant all on {name}.* to '{USER}'@'localhost' identified by '{PASSWORD}'"
        )
        for schema in schemas:
            self.sql(schema.read_text(), name)
        return Database("127.0.0.1", self.port, USER, PASSWORD, name)

    def heal(self) -> None:
        self.resume()
        if self.pid is None:
            self.start()

    def close(self) -> None:
        self.stop()


def make(ground: Ground) -> MariaDB:
    """Start one, or say why that is not possible here."""
    if not SERVER.exists():
        missing("MariaDB is not installed: apt-get install mariadb-server")
    if os.getuid() != 0:
        missing("the test MariaDB is started as root")
    server = MariaDB(ground)
    server.initialise()
    server.start()
    return server
