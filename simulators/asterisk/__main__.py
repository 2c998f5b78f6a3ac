"""`python -m simulators.asterisk`: the simulator by itself, with the demo's traffic or with a load."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from random import Random

from atalaia.clock import Clock, ScaledClock, SystemClock
from simulators.asterisk.server import AsteriskSimulator
from simulators.asterisk.world import demo_world, load_world, write_etc


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.asterisk", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8088, help="ARI; 0 takes a free one")
    add("--ami-port", type=int, default=0)
    add("--control-port", type=int, default=0, help="faults, truth and load")
    add("--prefix", default="", help="http.conf's prefix")
    add("--user", default="demo")
    add("--password", default="demo-only")
    add("--systemname", default="demo1")
    add("--asterisk-version", default="22.10.1")
    add("--no-channelvars", action="store_true", help="an ari.conf without channelvars")
    add("--seed", type=int, default=1)
    add("--speed", type=float, default=1.0, help="how much faster than real time people live")
    add("--rate", type=float, default=1.0, help="how busy the demo's traffic is; 0 for none")
    add("--etc", type=Path, help="write the four configuration files here")
    add("--play", type=Path, action="append", default=[], help="a capture to play when somebody listens")
    add("--load", type=float, default=0.0, metavar="RATE", help="answered calls a second, instead of traffic")
    add("--seconds", type=float, default=10.0, help="how long the load begins new calls")
    add("--calls", type=int, default=0, help="how many calls the load has, instead of --seconds")
    add(
        "--talk",
        type=float,
        nargs=2,
        default=(0.5, 3.0),
        metavar="S",
        help="shortest and longest talk",
    )
    add("--linger", type=float, default=60.0, help="seconds to stay after the load, for /_truth")
    return parser.parse_args()


def say(**facts: object) -> None:
    """Print one JSON object a line."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def serve(args: argparse.Namespace) -> None:
    clock: Clock = SystemClock() if args.speed == 1.0 else ScaledClock(args.speed)
    sim = AsteriskSimulator(
        clock=clock,
        random=Random(args.seed),
        user=args.user,
        password=args.password,
        prefix=args.prefix,
        systemname=args.systemname,
        version=args.asterisk_version,
        channelvars=not args.no_channelvars,
    )
    world = load_world() if args.load else demo_world()
    sim.add_phones(world.phones())
    if args.etc is not None:
        write_etc(args.etc, world)
    await sim.start(args.host, args.port, ami_port=args.ami_port, control_port=args.control_port)
    say(ari=sim.url + "/ari", ami=sim.ami_port, control=sim.control_url, pid=os.getpid())
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    work = asyncio.create_task(load(sim, args) if args.load else live(sim, args))
    over = asyncio.create_task(ended.wait())
    await asyncio.wait({work, over}, return_when=asyncio.FIRST_COMPLETED)
    for task in (work, over):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await sim.stop()


async def live(sim: AsteriskSimulator, args: argparse.Namespace) -> None:
    """Play captures once somebody listens, and the demo's traffic for ever."""
    if args.rate > 0:
        sim.run_demo(args.rate)
    await sim.heard_somebody.wait()
    for capture in args.play:
        await sim.play(capture)
    await asyncio.Event().wait()


async def load(sim: AsteriskSimulator, args: argparse.Namespace) -> None:
    """Wait for a listener, emit the load, tell what was emitted, and stay a while for `/_truth`."""
    await sim.heard_somebody.wait()
    await sim.clock.sleep(1.0)
    running = sim.begin_load(args.load, args.calls or int(args.load * args.seconds), tuple(args.talk))
    while running.state == "running":
        await sim.clock.sleep(0.2)
    say(load=running.as_json())
    await sim.clock.sleep(args.linger)


def main() -> None:
    asyncio.run(serve(arguments()))


if __name__ == "__main__":
    main()
