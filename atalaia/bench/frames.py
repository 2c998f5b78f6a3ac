"""`bench frames`: texts of the telematics socket read per second, whole and fragmented, vehicles pushing.

First the reading alone, at three depths: put together (`Protocol.take`), with what is written down (`heard`),
and understood (the interpreter's facts); beside it `json.loads` alone on the same texts, whose heads and
tails are completed beforehand so that it can read them. That runs in a process of its own, so that its
memory can be told, and nothing in it waits, so seconds are those of one processor. Then the whole hub on a
live socket: see `hearing`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from atalaia.bench import hearing
from atalaia.bench.common import rss_mb, say
from atalaia.events.model import Event, Heard

T0 = 1_795_000_000_000
ROUND = 20_000  # texts of one round; rounds are repeated until the time is over
MODULES = 36
PARAMETERS = (
    "00002710", "00002712", "00002713", "00002714", "00002715", "00002717", "00002718", "00002719",
    "0000271F", "00002723", "0000711F", "00000118", "00000119", "000070CF", "00000031", "0000003A",
)  # fmt: skip
PAYLOADS = ("15020895240B000B00002F5B00002712FF0800", "0402F007", "160208A1")
ECHO = "91f00a9f99518437a36b63d30f7dbe444616298459"


async def bench(
    *, vehicles: int, seconds: float, rate: float, burst: float, hub_seconds: float
) -> dict[str, Any]:
    """Measure reading, then the hub, each in a process of its own. hub_seconds: 0 leaves the hub out."""
    say(f"frames: {vehicles} vehicles, {seconds:g} s for each figure")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, str(vehicles), str(seconds), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the measurement ended with status {process.returncode}")
    result: dict[str, Any] = json.loads(out)
    if hub_seconds:
        result["hub"] = await hearing.bench(vehicles=vehicles, seconds=hub_seconds, rate=rate, burst=burst)
    return result


def measure(vehicles: int, seconds: float) -> dict[str, Any]:
    """Answer all figures."""
    from atalaia.connectors.traffilog.interpret import TraffilogInterpreter
    from atalaia.reactions.interpreter import Memory

    dice = Random(1)
    at_rest_mb = rss_mb(os.getpid())
    whole = pushes(vehicles, ROUND, dice)
    cut = fragments(vehicles, ROUND, dice)
    memory = Memory()
    interpreter = TraffilogInterpreter("bench", memory)
    figures: dict[str, Any] = {}
    for name, texts in (("whole", whole), ("fragmented", cut)):
        plain = [completed(text) for text in texts]
        figures[name] = {
            "texts_per_s": _rate(lambda texts=texts: _take(vehicles, texts), len(texts), seconds),
            "written_per_s": _rate(lambda texts=texts: _write(vehicles, texts), len(texts), seconds),
            "understood_per_s": _rate(
                lambda texts=texts: _understand(vehicles, texts, interpreter, memory), len(texts), seconds
            ),
            "baseline_json_loads_per_s": _rate(lambda plain=plain: _loads(plain), len(plain), seconds),
            "mean_bytes": round(sum(map(len, texts)) / len(texts)),
        }
    return {
        "bench": "frames",
        "vehicles": vehicles,
        "seconds": seconds,
        **figures,
        "facts_kept_for": sum(1 for _ in memory.keys("header:")),
        "memory": {"at_rest_mb": at_rest_mb, "under_load_mb": rss_mb(os.getpid())},
    }


def pushes(vehicles: int, count: int, dice: Random) -> list[str]:
    """Answer pushes as they come when every unit talks: nine messages to one burst of values."""
    return [_push(dice.randrange(vehicles), dice) for _ in range(count)]


def fragments(vehicles: int, count: int, dice: Random) -> list[str]:
    """Answer module readings in fragments, eight answers interleaved, cut to `count` texts."""
    texts: list[str] = []
    asked = 0
    while len(texts) < count:
        streams = [iter(_answer(asked + n, dice)) for n in range(8)]
        asked += 8
        while streams:
            stream = dice.choice(streams)
            text = next(stream, None)
            if text is None:
                streams.remove(stream)
            else:
                texts.append(text)
    return texts[:count]


def completed(text: str) -> str:
    """Answer JSON for a text: heads and tails get what they lack, rows lose their comma."""
    text = text.rstrip("\x00")
    if text.endswith('"data":['):
        return text + "]}}}"
    if text.startswith("],"):
        return "{" + text[2:-2]
    return text.removeprefix(",")


def _push(vehicle: int, dice: Random) -> str:
    inner_id = f"{920_000_000 + vehicle:016d}"
    values = dice.random() < 0.1
    rows = [_value(inner_id, one, dice) for one in dice.sample(PARAMETERS, 8)] if values else []
    properties = {
        "action_name": "refresh",
        "data_source": "UNIT_PARAMETERS" if values else "UNIT_MESSAGES",
        "mtkn": "-1",
        "data": rows or [_message(inner_id, dice)],
        "action_value": "0",
        "description": "",
        "session_token": ECHO,
    }
    return _compact({"response": {"properties": properties}})


def _value(inner_id: str, parameter: str, dice: Random) -> dict[str, str]:
    raw = f"{dice.randrange(70_000):08X}"
    return {
        "orig_time": f"2026-11-18T{_clock(dice)}Z",
        "unitType": "SPT",
        "inner_id": inner_id,
        "id": parameter,
        "paramvalue": raw,
        "paramsource": "FF",
        "": "",
        "param_value": raw,
    }


def _message(inner_id: str, dice: Random) -> dict[str, str]:
    place = f"-{dice.randrange(10**7, 2 * 10**7)},-043992804,{dice.randrange(90)},158"
    more = "136793856,0,120022,000000001133,,W2O"
    return {
        "info": "",
        "server_time": f"2026-11-18T{_clock(dice)}.{dice.randrange(1000):03d}Z",
        "raw_message": f"({inner_id},16,181126151324,3,86,11,{place},{more},{dice.choice(PAYLOADS)})",
        "inbound": "1",
        "fuel_used": "0",
        "unitType": "SPT",
        "inner_id": inner_id,
        "orig_time": f"2026-11-18T{_clock(dice)}Z",
        "ignition": "1",
        "satellites": "11",
    }


def _answer(number: int, dice: Random) -> list[str]:
    mtkn = f"{T0 + number}_{number:x}"
    request_id = str(dice.randrange(10**18, 10**19))
    head = {"action_name": "get_monitor_module_state", "mtkn": mtkn, "request_id": request_id}
    rows = [_compact({"mtkn": mtkn, **_module(n)}) for n in range(MODULES)]
    tail = {
        "action_value": "0",
        "description": "",
        "session_token": ECHO,
        "mtkn": mtkn,
        "action_records": str(MODULES),
        "action_db_duration": "41",
        "action_app_duration": "176",
    }
    first = _compact({"response": {"properties": head}}).removesuffix("}}}") + ',"data":['
    return [first, rows[0], *("," + row for row in rows[1:]), "]," + _compact(tail)[1:] + "}}\x00"]


def _module(number: int) -> dict[str, str]:
    flags = dict.fromkeys(("active", "was_ok", "ok"), "1")
    colours = {f"{flag}_color": "%23008000" for flag in flags}
    return {
        "id": str(number + 1),
        "template_name": "module_state",
        "module_descr": "CAN" if number == 7 else f"MODULE_{number}",
        "sub_module_descr": "CAN0" if number == 7 else f"PART_{number}",
        "color": "%23008000",
        "last_update_date": "2026-11-18T23%3A57%3A00.0000000%2B00%3A00",
        **flags,
        **colours,
        "error": "0",
        "error_descr": "",
    }


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _clock(dice: Random) -> str:
    return f"{dice.randrange(24):02d}:{dice.randrange(60):02d}:{dice.randrange(60):02d}"


def _protocol(vehicles: int) -> Any:
    """Answer the conversation of a socket that watches all vehicles and has asked for their modules."""
    from atalaia.connectors.traffilog import actions
    from atalaia.connectors.traffilog.protocol import Protocol
    from atalaia.connectors.traffilog.wire import Token

    protocol = Protocol(Token("0" * 42), Random(1))
    for vehicle in range(vehicles):
        protocol.knows(f"{920_000_000 + vehicle:016d}", str(2_900_000 + vehicle))
        protocol.fire(actions.subscribe(str(2_900_000 + vehicle), "UNIT_MESSAGES"))
    return protocol


def _take(vehicles: int, texts: Sequence[str]) -> Callable[[], None]:
    protocol = _protocol(vehicles)

    def run() -> None:
        for text in texts:
            protocol.take(text)

    return run


def _write(vehicles: int, texts: Sequence[str]) -> Callable[[], None]:
    from atalaia.connectors.traffilog.heard import heard

    protocol = _protocol(vehicles)

    def run() -> None:
        for text in texts:
            for came in protocol.take(text):
                heard(came, T0)

    return run


def _understand(vehicles: int, texts: Sequence[str], interpreter: Any, memory: Any) -> Callable[[], None]:
    from atalaia.connectors.traffilog.heard import heard

    protocol = _protocol(vehicles)
    told: list[Heard] = [heard(came, T0 + n) for n, text in enumerate(texts) for came in protocol.take(text)]
    events = [_event(seq, one, one.key or str(2_900_000 + seq % vehicles)) for seq, one in enumerate(told, 1)]

    def run() -> None:
        for event in events:
            memory.mark()
            list(interpreter.take(event))

    return run


def _event(seq: int, one: Heard, key: str) -> Event:
    at_ms = one.occurred_ms
    return Event(seq, str(seq), "heard", one.type, key, "bench", at_ms, at_ms, None, False, one.body)


def _loads(texts: Sequence[str]) -> Callable[[], None]:
    def run() -> None:
        for text in texts:
            json.loads(text)

    return run


def _rate(make: Callable[[], Callable[[], None]], texts: int, seconds: float) -> int:
    """Answer texts a processor second, over whole rounds of `seconds` together; preparing does not count."""
    took, rounds = 0.0, 0
    while took < seconds:
        run = make()
        began = time.process_time()
        run()
        took += time.process_time() - began
        rounds += 1
    return round(texts * rounds / took)


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), float(sys.argv[2]))))
