"""A real Asterisk with real SIP calls, through ../shared/asterisk (its README says what there is)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import aiohttp
import pytest

from tests.peers.ground import SHARED, Ground, end_family, is_running, missing, run, wait_until

UP = SHARED / "asterisk" / "asterisk-up"
CALL = SHARED / "asterisk" / "call"

# RTP ports are tried until one is free, so all instances share a range beyond the phones' (40000-53000).
RTP_START, RTP_END = 54_000, 64_999
LOAD_ENDPOINTS = 400

# Scenarios draw their phones' ports from their process id; so far apart they do not meet.
PIDS_APART = 12
_starting = Lock()
_running: list[subprocess.Popen[str]] = []


class RunningCall:
    """A scenario in the making; `result` waits for its end."""

    def __init__(self, scenario: str, process: subprocess.Popen[str]) -> None:
        self.scenario, self.process = scenario, process

    def result(self, seconds: float = 180) -> dict[str, Any]:
        """Answer what `call` printed: scenario, ok, began, ended, expect, steps, phones."""
        out, complained = self.process.communicate(timeout=seconds)
        try:
            return json.loads(out.splitlines()[-1])
        except (IndexError, ValueError):
            pytest.fail(f"call {self.scenario} printed no result: {out}{complained}"[-3000:], pytrace=False)

    async def wait(self, seconds: float = 180) -> dict[str, Any]:
        return await asyncio.to_thread(self.result, seconds)

    def end(self) -> None:
        """End the phones and their director; harmless when they are done."""
        end_family(self.process.pid)
        if self.process.stdout and not self.process.stdout.closed:
            self.process.communicate(timeout=10)


class Asterisk:
    """One Asterisk of this test session: where it answers, and what can be done to it.

    `recordings_dir` is the folder as we see it, `recordings_dir_inside` as Asterisk's events name it.
    """

    def __init__(self, ground: Ground, flavour: str = "22", settings: dict[str, str] | None = None) -> None:
        self.flavour = flavour
        name = ground.name + ("" if flavour == "22" else f"-{flavour}")
        self._ground, self._name = ground, name
        ports = {kind: str(ground.port()) for kind in ("ARI", "AMI", "SIP")}
        self.env = {f"ATALAIA_ASTERISK_{kind}_PORT": port for kind, port in ports.items()}
        self.env |= {
            "ATALAIA_ASTERISK_INSTANCE": name,
            "ATALAIA_ASTERISK_RTP_START": str(RTP_START),
            "ATALAIA_ASTERISK_RTP_END": str(RTP_END),
            "ATALAIA_ASTERISK_LOAD_ENDPOINTS": str(LOAD_ENDPOINTS),
            "ATALAIA_ASTERISK_SYSTEMNAME": "voip1" if flavour == "22" else f"voip{flavour}",
        }
        if flavour == "16":
            self.env |= {"ATALAIA_ASTERISK_FLAVOUR": "16", "ATALAIA_ASTERISK_SUITES": "bullseye"}
        self.env |= {f"ATALAIA_ASTERISK_{key}": value for key, value in (settings or {}).items()}
        told = dict(line.split("=", 1) for line in self.up("env").split())
        self.ari_url = told["ASTERISK_ARI_URL"]
        self.user, self.password = told["ASTERISK_ARI_USER"], told["ASTERISK_ARI_PASSWORD"]
        host, _, port = told["ASTERISK_AMI"].partition(":")
        self.ami = (host, int(port))
        self.ami_user, self.ami_password = told["ASTERISK_AMI_USER"], told["ASTERISK_AMI_PASSWORD"]
        self.sip = told["ASTERISK_SIP"]
        self.etc_dir = Path(told["ASTERISK_ETC_DIR"])
        self.recordings_dir = Path(told["ASTERISK_RECORDINGS_DIR"])
        self.recordings_dir_inside = told["ASTERISK_RECORDINGS_DIR_INSIDE"]
        self.log_dir = Path(told["ASTERISK_LOG_DIR"])
        self.outgoing_dir = Path(told["ASTERISK_OUTGOING_DIR"])
        self._calls: list[RunningCall] = []

    def up(self, *words: str, check: bool = True) -> str:
        return run([UP, *words], env=self.env, seconds=600, check=check)

    @property
    def pid(self) -> int | None:
        """The daemon's process id, None when it does not run."""
        note = self.etc_dir.parent / "run" / "asterisk.pid"
        pid = int(note.read_text()) if note.exists() and note.read_text().strip() else None
        return pid if pid and is_running(pid) else None

    def start(self) -> None:
        """Start it and wait until ARI answers; the configuration is written anew."""
        self.up("start")
        pid = self.pid
        assert pid is not None
        self._ground.remember(self._name, pid)

    def stop(self) -> None:
        """Stop at once; running calls end."""
        self.resume()
        self.up("stop")

    def crash(self) -> None:
        """End it as a power cut would."""
        self.up("crash")

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: ports accept, nothing answers."""
        if pid := self.pid:
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        if pid := self.pid:
            os.kill(pid, signal.SIGCONT)

    def cli(self, text: str) -> str:
        """Run a command of Asterisk's console."""
        return self.up("cli", text)

    def start_call(self, scenario: str, **options: object) -> RunningCall:
        """Begin a scenario of `call list`; options are its own: origin= is --from, to=, ring=, talk=, …"""
        words = [str(CALL), scenario]
        for name, value in options.items():
            words += [f"--{'from' if name == 'origin' else name}", str(value)]
        process = _apart(words, {**os.environ, **self.env})
        self._ground.remember(f"call-{process.pid}", process.pid)
        running = RunningCall(scenario, process)
        self._calls.append(running)
        return running

    def call(self, scenario: str, **options: object) -> dict[str, Any]:
        """Play a scenario to its end; the answer's `expect` is what a monitor must come to know."""
        return self.start_call(scenario, **options).result()

    async def play(self, scenario: str, **options: object) -> dict[str, Any]:
        """`call` without blocking the loop."""
        return await self.start_call(scenario, **options).wait()

    def heal(self) -> None:
        """Bring it back to where a test may begin: running, answering, its own configuration, no channel."""
        self.end_calls()
        self.resume()
        if self.pid is None:
            self.start()
        elif not self.answers():
            self.crash()
            self.start()
        elif not self._is_quiet():
            self.cli("channel request hangup all")
            wait_until(self._is_quiet, 30, "the end of all channels")
        self.outgoing_dir.mkdir(exist_ok=True)

    def answers(self) -> bool:
        """Answer whether an event of our own comes back. Seen mute for good after cuts, console well."""
        with ThreadPoolExecutor(1) as apart:  # the caller's thread may have a loop of its own
            return apart.submit(asyncio.run, self._echoes()).result()

    async def _echoes(self) -> bool:
        headers = {"Authorization": aiohttp.encode_basic_auth(self.user, self.password)}
        listen, tell = f"{self.ari_url}/events?app=heal", f"{self.ari_url}/events/user/heal?application=heal"
        try:
            async with (
                asyncio.timeout(10),
                aiohttp.ClientSession(headers=headers) as http,
                http.ws_connect(listen) as socket,
                http.post(tell, raise_for_status=True),
            ):
                while (await socket.receive_json())["type"] != "ChannelUserevent":
                    pass
        except (OSError, TimeoutError, TypeError, aiohttp.ClientError):
            return False
        return True

    def _is_quiet(self) -> bool:
        return self.cli("core show channels count").startswith("0 active channels")

    def end_calls(self) -> None:
        for running in self._calls:
            running.end()
        self._calls.clear()

    def close(self) -> None:
        self.end_calls()
        self.resume()
        self.up("clean", check=False)


def _apart(words: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start `call` under a process id from which it draws other ports than those that run now.

    It takes its phones' ports from its process id on, so neighbours would meet. A shell that waits for a word
    shows its id before it becomes `call`.
    """
    with _starting:
        _running[:] = [one for one in _running if one.poll() is None]
        while True:
            process = subprocess.Popen(
                ["/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "call", *words],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            if all(_distance(process.pid, one.pid) >= PIDS_APART for one in _running):
                break
            process.communicate(timeout=10)
        _running.append(process)
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.close()
    process.stdin = None  # or communicate() would flush it
    return process


def _distance(one: int, other: int) -> int:
    """Answer how far apart two process ids are on the two circles from which ports are drawn."""
    apart: list[int] = []
    for circle in (4000, 300):
        steps = (one - other) % circle
        apart.append(min(steps, circle - steps))
    return min(apart)


def make(ground: Ground, flavour: str = "22", settings: dict[str, str] | None = None) -> Asterisk:
    """Install where needed and start one, or say why that is not possible here."""
    if not UP.exists():
        missing(f"no {UP}: the folder with the test Asterisk is not beside this checkout")
    if os.getuid() != 0:
        missing("the test Asterisk runs by chroot, which needs root")
    asterisk = Asterisk(ground, flavour, settings)
    try:
        run([UP, "install"], env=asterisk.env, seconds=900)
    except pytest.fail.Exception as error:
        missing(f"Asterisk {flavour} cannot be installed: {error}")
    asterisk.up("clean", check=False)
    asterisk.start()
    return asterisk
