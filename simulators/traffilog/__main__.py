"""`python -m simulators.traffilog`: the telematics upstream by itself."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from random import Random

from atalaia.clock import Clock, ScaledClock, SystemClock
from simulators.traffilog.pace import Pace
from simulators.traffilog.server import TraffilogSimulator
from simulators.traffilog.world import demo_world, load_world


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators.traffilog", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8190, help="surface A, the JSON API; 0 takes a free one")
    add("--ws-port", type=int, default=0, help="surface B, the WebSocket")
    add("--portal-port", type=int, default=0, help="surface C, the portal")
    add("--control-port", type=int, default=0, help="faults, ledger, state")
    add("--user", default="demo")
    add("--password", default="demo-only")
    add("--portal-user", default="portal")
    add("--portal-password", default="demo-only")
    add("--seed", type=int, default=1)
    add("--speed", type=float, default=1.0, help="how much faster than real time it lives, 1 to 1000")
    add("--commands", type=int, default=460, help="how many commands a Scheme Builder has, 30 to 500")
    add("--vehicles", type=int, default=0, help="so many vehicles of one client instead of the demo's")
    add("--life", action="store_true", help="vehicles drive, units come and go")
    add("--at-once", action="store_true", help="answer without pauses")
    add("--burning", choices=("unclean", "reused", "never"), default="unclean", help="what burns a token")
    return parser.parse_args()


async def serve(args: argparse.Namespace) -> None:
    clock: Clock = SystemClock() if args.speed == 1.0 else ScaledClock(args.speed)
    pace = Pace.at_once(commands=args.commands) if args.at_once else Pace(commands=args.commands)
    sim = TraffilogSimulator(
        clock=clock,
        random=Random(args.seed),
        user=args.user,
        password=args.password,
        portal_user=args.portal_user,
        portal_password=args.portal_password,
        pace=pace,
        world=load_world(args.vehicles, commands=args.commands) if args.vehicles else demo_world(),
        burning=args.burning,
    )
    await sim.start(
        args.host,
        args.port,
        ws_port=args.ws_port,
        portal_port=args.portal_port,
        control_port=args.control_port,
    )
    if args.life:
        sim.run_demo()
    sys.stdout.write(json.dumps({**sim.addresses(), "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await sim.stop()


def main() -> None:
    asyncio.run(serve(arguments()))


if __name__ == "__main__":
    main()
