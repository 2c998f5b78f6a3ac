"""Whatever goes wrong, all that was placed on a phone can be had: by webhook, or by reading it later."""

from __future__ import annotations

from random import Random
from typing import Any

import aiohttp
import pytest

from atalaia.clock import HeldClock
from simulators.wppconnect import FAULTS, World, WppSimulator, owner
from simulators.wppconnect.faults import NATURAL
from tests.simulators.wppconnect_ground import Consumer, Json, Peer, S, lab

# What would take the phone from the session for good, or what the gateway alone knows of.
LEFT_OUT = {"send_error", "version_skew", "image_swallowed", "media_wrapped", "qr_500"}


async def recover(clock: HeldClock, sim: WppSimulator, peer: Peer) -> None:
    """Do what an operator does: end every fault and leftover browser, start anew, scan where asked."""
    await sim.faults.stop_all()
    await clock.run_for(10)
    sim.end_browser(S)
    await peer.post("close-session")
    await peer.start()
    for _ in range(10):
        await clock.run_for(5)
        status = await peer.status()
        if status == "QRCODE":
            assert sim.scan(S) == ""
        elif status == "CONNECTED":
            break
    assert await peer.status() == "CONNECTED"
    await clock.run_for(60)


async def read_all(peer: Peer) -> list[Json]:
    """Read every chat to its beginning, page by page: what a backfill does."""
    found: list[Json] = []
    for chat in await peer.post("list-chats", {}):
        wid = chat["id"]["_serialized"]
        query: dict[str, Any] = {"count": "7"}
        while rows := (await peer.get(f"get-messages/{wid}", **query))["response"]:
            found += rows
            query = {"count": "7", "direction": "before", "id": rows[0]["id"]}
    return found


def identity(told: Json) -> tuple[bool, str]:
    """Answer what identifies a message within an account: direction and key, never the chat's name."""
    return bool(told["fromMe"]), str(told["id"]).split("_")[2]


async def misbehave(clock: HeldClock, sim: WppSimulator, peer: Peer, random: Random) -> None:
    """Let faults come and go while people write and the session is closed and started now and then."""
    faults = sorted(set(FAULTS) - set(NATURAL) - LEFT_OUT)
    population = sim.populate(S, 600, seed=random.randrange(1000))
    for _ in range(25):
        name = random.choice(faults)
        seconds = random.choice((20.0, 120.0)) if FAULTS[name].kind == "lasting" else None
        await sim.faults.start(name, seconds)
        await clock.run_for(random.uniform(5, 60), settle=20)
        population.act()
        if random.random() < 0.4:
            try:
                page = sim.session(S).page
                if page is not None and not page.alive:
                    sim.end_browser(S)
                await peer.post("close-session")
                await peer.start()
            except aiohttp.ClientError:
                continue  # the port refuses: somebody tries again later


@pytest.mark.parametrize("seed", range(6))
async def test_webhooks_and_a_backfill_together_are_the_ledger(clock: HeldClock, seed: int):
    random = Random(seed)
    world = World([owner(S, "551155500201", seed, contacts=8)])
    async with lab(clock, world=world) as (sim, peer, consumer):
        await peer.log_in(consumer)
        await misbehave(clock, sim, peer, random)
        await recover(clock, sim, peer)
        ledger = sim.ledger(S)["messages"]
        assert len(ledger) > 20, f"seed {seed}"
        read = await read_all(peer)
        check_ledger(ledger, read, consumer)


def check_ledger(ledger: list[Json], read: list[Json], consumer: Consumer) -> None:
    """Assert that what was read is the ledger: each once, with its time, chat, author and text."""
    placed = {(one["from_me"], one["key"]): one for one in ledger}
    assert len(read) == len(placed) == len({identity(one) for one in read})
    for told in read:
        truth = placed[identity(told)]
        assert told["t"] == truth["t"] and told["chatId"] == truth["chat"]
        if truth["author"] is not None:
            assert told["author"] in truth["author"]["wids"]
        if truth["kind"] == "chat" and told["type"] == "chat":
            assert told["body"] == truth["text"]
    live = consumer.events("onmessage", "onselfmessage")
    assert {identity(one) for one in live} <= set(placed)
    assert all(one["t"] == placed[identity(one)]["t"] for one in live)
