"""The ground that a test session stands on: a block of ports and a folder nobody else uses."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("ATALAIA_SHARED") or ROOT.parent / "shared")
BASE = Path(os.environ.get("ATALAIA_TEST_DIR") or f"/tmp/atalaia-peers-{os.getuid()}")

FIRST_PORT = 10_000
BLOCK = 16
BLOCKS = 100


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI where every peer must be there."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must have every peer: {reason}", pytrace=False)
    pytest.skip(reason)


class Ground:
    """One block of ports and a folder, held by a file lock for as long as this process lives.

    Other sessions and xdist workers hold other blocks. What a killed session left running on the
    block is ended first, by the process ids it wrote down.
    """

    def __init__(self) -> None:
        BASE.mkdir(parents=True, exist_ok=True)
        BASE.chmod(0o755)  # PostgreSQL's own user must get through
        for number in range(BLOCKS):
            guard = open(BASE / f"block-{number}.lock", "a")  # noqa: SIM115 -- held until the process ends
            try:
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                guard.close()
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                continue
            self._guard, self.number = guard, number
            break
        else:
            pytest.fail(f"all {BLOCKS} blocks of ports are in use, see {BASE}", pytrace=False)
        self.name = f"test{self.number}"
        self.folder = BASE / f"block-{self.number}"
        self._ports = iter(range(FIRST_PORT + self.number * BLOCK, FIRST_PORT + (self.number + 1) * BLOCK))
        self._end_leftovers()
        self.folder.mkdir()
        self.folder.chmod(0o755)

    def port(self, *offsets: int) -> int:
        """Answer a free port of the block for which port + each offset is free, too."""
        for port in self._ports:
            if all(is_free(port + offset) for offset in (0, *offsets)):
                return port
        pytest.fail(f"no free port left in block {self.number}", pytrace=False)

    def remember(self, name: str, pid: int) -> None:
        """Write a process down, so that the next holder of the block can end it if we cannot."""
        (self.folder / f"{name}.left").write_text(f"{pid} {start_time(pid)}")

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._guard.close()

    def _end_leftovers(self) -> None:
        for note in self.folder.glob("*.left") if self.folder.exists() else ():
            pid, _, started = note.read_text().partition(" ")
            if pid and started and start_time(int(pid)) == started:
                end_family(int(pid))
                wait_until(lambda pid=pid: not is_running(int(pid)), 30, f"the end of process {pid}")
        shutil.rmtree(self.folder, ignore_errors=True)


def is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:  # what lies in TIME_WAIT does not hinder a server
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def start_time(pid: int) -> str:
    """Answer when the process began, in the kernel's ticks; "" when it is not there. Pids come again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(true: Callable[[], bool], seconds: float, what: str) -> None:
    """Look again and again until `true`, for processes that cannot be waited for; fails after `seconds`."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            pytest.fail(f"{what}: not within {seconds:g} s", pytrace=False)
        time.sleep(0.02)


def end(pid: int, how: signal.Signals = signal.SIGKILL, seconds: float = 30) -> None:
    """Send a signal and wait until the process is gone."""
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return
    wait_until(lambda: not is_running(pid), seconds, f"the end of process {pid}")


def children(pid: int) -> list[int]:
    """Answer the process and everything below it, parents first."""
    found = [pid]
    for parent in found:
        try:
            below = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except OSError:
            continue
        found.extend(int(child) for child in below)
    return found


def end_family(pid: int) -> None:
    """Kill the process and everything below it, children first."""
    for one in reversed(children(pid)):
        try:
            os.kill(one, signal.SIGKILL)
        except ProcessLookupError:
            pass  # ended by itself meanwhile


def run(
    words: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 120,
    check: bool = True,
) -> str:
    """Run a command of a peer and answer what it printed; a failure fails the test with its words.

    Output goes through files: daemons that inherit a pipe would keep it open for ever.
    """
    with TemporaryFile("w+") as printed, TemporaryFile("w+") as complained:
        done = subprocess.run(
            [str(word) for word in words],
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=complained,
            timeout=seconds,
            check=False,
        )
        printed.seek(0)
        complained.seek(0)
        text, errors = printed.read(), complained.read()
    if check and done.returncode:
        pytest.fail(
            f"{' '.join(map(str, words))} ended with {done.returncode}:\n{text}{errors}"[-4000:],
            pytrace=False,
        )
    return text
