"""`python -m simulators.wppconnect`: the WhatsApp gateway by itself."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
from pathlib import Path
from random import Random

import uvloop

from atalaia.clock import Clock, ScaledClock, SystemClock
from simulators.wppconnect.pace import Pace
from simulators.wppconnect.server import WppSimulator
from simulators.wppconnect.world import demo_world, load_world

GARBAGE_MOST = 50_000  # new objects before the collector looks at them


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.wppconnect", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=21465, help="wppconnect-server; 0 takes a free one")
    add("--gateway-port", type=int, default=0, help="the gateway-wrapper")
    add("--control-port", type=int, default=0, help="faults, phones, ledger, state")
    add("--secret-key", default="demo-only", help="the server's master key")
    add("--gateway-secret", default="demo-only")
    add("--webhook", default="", help="where the server's events go; the gateway by default")
    add("--consumer", default="", help="where the gateway's envelopes go")
    add("--folder", type=Path, default=None, help="keeps phones, profiles, tokens over a restart")
    add("--seed", type=int, default=1)
    add("--speed", type=float, default=1.0, help="how much faster than real time it lives, 1 to 1000")
    add("--sessions", type=int, default=0, help="so many sessions instead of the demo's two")
    add("--per-hour", type=float, default=0.0, help="so many messages an hour to each phone")
    add("--daily", action="store_true", help="contacts keep to the hours of the week")
    add("--at-once", action="store_true", help="answer without pauses")
    add("--recommended", action="store_true", help="onSelfMessage on, autoDownload off")
    return parser.parse_args()


async def serve(args: argparse.Namespace) -> None:
    clock: Clock = SystemClock() if args.speed == 1.0 else ScaledClock(args.speed)
    recommended = {"on_self_message": True, "auto_download": False} if args.recommended else {}
    sim = WppSimulator(
        clock=clock,
        random=Random(args.seed),
        secret_key=args.secret_key,
        gateway_secret=args.gateway_secret,
        pace=Pace.at_once() if args.at_once else Pace(),
        world=load_world(args.sessions) if args.sessions else demo_world(),
        folder=args.folder,
        config={"webhook_url": args.webhook, **recommended},
    )
    if args.consumer:
        sim.gateway.relay.subscribe(args.consumer)
    await sim.start(args.host, args.port, gateway_port=args.gateway_port, control_port=args.control_port)
    if args.per_hour > 0:
        for place, name in enumerate(sim.host.phones):
            sim.populate(name, args.per_hour, seed=args.seed + place, daily=args.daily)
    sys.stdout.write(json.dumps({**sim.addresses(), "pid": os.getpid()}, ensure_ascii=False) + "\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await sim.stop()


def main() -> None:
    # Thousands of phones are millions of objects that stay: a full pass over them would hold everybody up.
    gc.set_threshold(GARBAGE_MOST, 50, 1_000)
    uvloop.run(serve(arguments()))


if __name__ == "__main__":
    main()
