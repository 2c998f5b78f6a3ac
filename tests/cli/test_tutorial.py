"""The first tutorial, walked as it is written; only its ports are others."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "tutorials" / "first-steps.md").read_text()


def block(language: str, containing: str) -> str:
    """Answer the tutorial's code block that holds a text."""
    found = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return next(one for one in found if containing in one)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


@asynccontextmanager
async def running(*words: str, folder: Path, **environment: str) -> AsyncIterator[Process]:
    """Run a program that goes on by itself, and end it with the block."""
    known = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    process = await asyncio.create_subprocess_exec(*words, cwd=folder, env=known, stdout=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


class Walker:
    """Types the tutorial's lines into a shell."""

    def __init__(self, folder: Path, ports: dict[str, str], **environment: str) -> None:
        self.folder = folder
        self.ports = ports
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}

    def adapted(self, text: str) -> str:
        for told, ours in self.ports.items():
            text = text.replace(told, ours)
        return text.replace("bin/atalaia", f"{sys.executable} -m atalaia")

    async def type(self, text: str) -> str:
        shell = await asyncio.create_subprocess_exec(
            "sh", "-ec", self.adapted(text), cwd=self.folder, env=self.environment, stdout=PIPE
        )
        out, _ = await shell.communicate()
        assert shell.returncode == 0, text
        return out.decode()


async def read_until(process: Process, wanted: str) -> list[str]:
    """Read lines up to and with the first that holds `wanted`."""
    lines: list[str] = []
    assert process.stdout is not None
    while not lines or wanted not in lines[-1]:
        line = await process.stdout.readline()
        assert line, f"ended before {wanted!r}: {lines[-5:]}"
        lines.append(line.decode().strip())
    return lines


@pytest.mark.slow
async def test_the_first_tutorial_leads_from_nothing_to_a_verified_webhook(tmp_path: Path):
    consumer_port = str(free_port())
    allowed = {"ATALAIA_ALLOW_PRIVATE_TARGETS": f"127.0.0.1:{consumer_port}"}
    assert "ATALAIA_ALLOW_PRIVATE_TARGETS=127.0.0.1:9000" in block("sh", "atalaia demo")
    demo = (sys.executable, "-m", "atalaia", "demo", "--data-dir", "demo-data", "--port", "0", "--json")
    async with running(*demo, folder=tmp_path, **allowed) as hub:
        told = json.loads((await read_until(hub, '"url"'))[-1])
        assert "/welcome/" in told["sign_in"]
        ports = {
            "127.0.0.1:9000": f"127.0.0.1:{consumer_port}",
            '("127.0.0.1", 9000)': f'("127.0.0.1", {consumer_port})',
            "http://127.0.0.1:8000": told["url"],
        }
        walker = Walker(tmp_path, ports)
        assert "Asterisk demo1" in await walker.type("bin/atalaia connections list --data-dir demo-data")
        await _receive(walker, tmp_path)


async def _receive(walker: Walker, folder: Path) -> None:
    """Sections 4 and 5: subscribe, verify, go away, come back, have it sent again."""
    (folder / "consumer.py").write_text(walker.adapted(block("python", "class Consumer")))
    exports = (
        block("sh", "export SECRET").replace("export TOKEN", "echo $SECRET; export TOKEN") + "\necho $TOKEN"
    )
    secret, token = (await walker.type(exports)).split()
    walker.environment |= {"SECRET": secret, "TOKEN": token}
    subscribing = block("sh", "/api/subscriptions").partition("\n")[2]
    consumer = (sys.executable, "-u", "consumer.py")
    async with running(*consumer, folder=folder, SECRET=secret) as first:
        assert '"My consumer"' in await walker.type(subscribing)
        seen = await read_until(first, "verified call.")
    async with running(*consumer, folder=folder, SECRET=secret) as again:
        seen += await read_until(again, "verified call.ended")
        replayed = await walker.type(block("sh", "deliveries replay"))
        assert re.search(r"\d+ of \d+ events are queued", replayed)
        seen += await read_until(again, "verified call.ended")
    assert not [line for line in seen if "REFUSED" in line]
