"""A process that has loaded the program and forks a worker for each line it reads; see `hubs.Stable`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any

import asyncpg  # noqa: F401  # loaded by the first use otherwise, in every worker anew

import atalaia.cli.up
import atalaia.store.postgres  # noqa: F401
from atalaia.cli import app


def main() -> None:
    """Fork for each line; the parent never runs a loop or a thread, so a fork is a clean start."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead
    for line in sys.stdin:
        assert threading.active_count() == 1
        pid = os.fork()
        if pid == 0:
            become(json.loads(line))
        print(pid, flush=True)


def become(asked: dict[str, Any]) -> None:
    """Be the worker: its own session, files and environment, then the program itself."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, asked["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        file = os.open(path, flags, 0o644)
        os.dup2(file, number)
        os.close(file)
    for name in [name for name in os.environ if name.startswith("ATALAIA_")]:
        del os.environ[name]
    os.environ.update(asked["environment"])
    try:
        app(args=asked["words"], prog_name="atalaia")
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    os._exit(0)


if __name__ == "__main__":
    main()
