"""A real Asterisk with real SIP phones, where the project's test set-up has them installed.

The set-up is a folder with the programs `asterisk-up` and `call`, beside the checkout or named by
`ATALAIA_ASTERISK_LAB`. It is used only as root and only when it has been installed before: a bench builds
nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAIRS = 200
RING_S, TALK_S = 0.5, 1.5


@dataclass(frozen=True)
class Lab:
    """One running Asterisk: what a client needs, and how to have calls made through it."""

    folder: Path
    environment: Mapping[str, str]
    told: Mapping[str, str]

    @property
    def address(self) -> str:
        """Answer the base of its HTTP server."""
        return self.told["ASTERISK_ARI_URL"].removesuffix("/ari")

    async def load(self, rate: float, calls: int) -> list[dict[str, Any]]:
        """Have phones make `calls` answered calls; answer the records that must come of them."""
        words = [
            "load", "--calls", calls, "--rate", rate, "--count", PAIRS, "--ring", RING_S, "--talk", TALK_S,
            "--limit", int(calls / rate) + 60,
        ]  # fmt: skip
        said = await _run(self.folder / "call", [str(word) for word in words], self.environment)
        return json.loads(said)["expect"]


def find() -> Path | None:
    """Answer the folder of the set-up when it can be used here and now."""
    named = os.environ.get("ATALAIA_ASTERISK_LAB")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "asterisk"
    cache = os.environ.get("ATALAIA_ASTERISK_CACHE") or Path.home() / ".cache" / "atalaia-asterisk"
    installed = Path(cache) / "default" / "rootfs" / ".atalaia-complete"
    return folder if os.geteuid() == 0 and (folder / "asterisk-up").exists() and installed.exists() else None


@asynccontextmanager
async def running(folder: Path) -> AsyncGenerator[Lab]:
    """Start an instance of its own on free ports, and stop it."""
    environment = os.environ | {
        "ATALAIA_ASTERISK_INSTANCE": "bench",
        "ATALAIA_ASTERISK_ARI_PORT": str(_free(socket.SOCK_STREAM)),
        "ATALAIA_ASTERISK_AMI_PORT": str(_free(socket.SOCK_STREAM)),
        "ATALAIA_ASTERISK_SIP_PORT": str(_free(socket.SOCK_DGRAM)),
        "ATALAIA_ASTERISK_RTP_START": "34000",
        "ATALAIA_ASTERISK_RTP_END": "37999",
        "ATALAIA_ASTERISK_LOAD_ENDPOINTS": str(2 * PAIRS),
    }
    up = folder / "asterisk-up"
    await _run(up, ["start"], environment)
    try:
        said = await _run(up, ["env"], environment)
        yield Lab(folder, environment, dict(line.split("=", 1) for line in said.split()))
    finally:
        await _run(up, ["clean"], environment)


def wrong(expected: list[dict[str, Any]], bodies: list[dict[str, Any]]) -> int:
    """Answer how many calls have no record of their own with their parties, state and times (within 1 s)."""
    left = Counter((one["origin"], one["destiny"]) for one in expected)
    for body in bodies:
        fits = body.get("channelstatus") == "closed"
        fits = fits and abs(body["ringduration"] - RING_S) <= 1 and abs(body["callduration"] - TALK_S) <= 1
        left[body["origin"], body["destiny"]] -= 1 if fits else 0
    return sum(abs(number) for number in left.values())


async def _run(program: Path, words: list[str], environment: Mapping[str, str]) -> str:
    # Into a file: the Asterisk that `asterisk-up` leaves running would keep a pipe open for ever.
    with tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            str(program), *words, env=dict(environment), stdout=said, stderr=asyncio.subprocess.DEVNULL
        )
        if await process.wait():
            raise RuntimeError(f"{program.name} {words[0]} ended with status {process.returncode}")
        said.seek(0)
        return said.read().decode()


def _free(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
