"""The registry of a unit's modules: read by name, judged, and never poorer than the best reading; pure.

Source: contracts/traffilog.md §7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from atalaia.connectors.traffilog.wire import Json, decode, read_time_ms, text_of

ROWS_MIN = 36  # the smallest full registry that was seen
BUSES = {"can0": ("CAN", "CAN0"), "can1": ("CAN", "CAN1"), "j1708": ("J1708", "")}


@dataclass(frozen=True, slots=True)
class Module:
    """One module. active: fitted and enabled; ok: healthy now; was_ok: healthy at least once; error: active.

    name: module and part, e.g. `CAN/CAN0`; the second of the same name ends in `#2`. The row's own number
    says nothing: it changes whenever a module appears. seen_ms: Unix milliseconds.
    """

    name: str
    module: str
    sub: str
    active: bool
    ok: bool
    was_ok: bool
    error: bool
    error_descr: str
    seen_ms: int | None

    @property
    def state(self) -> str:
        """In one word: `ok`, `failing`, `was_ok` or `never_ok`; the upstream's four colours."""
        if self.active:
            return "ok" if self.ok else "failing"
        return "was_ok" if self.was_ok else "never_ok"


def read_modules(rows: Iterable[Json]) -> list[Module]:
    """Read the rows of an answer, of a stored record (booleans, `module` and `sub`), or of `to_rows`."""
    seen: dict[str, int] = {}
    found: list[Module] = []
    for row in rows:
        module = decode(text_of(row, "module_descr") or text_of(row, "module"))
        sub = decode(text_of(row, "sub_module_descr") or text_of(row, "sub"))
        if not module and not sub:
            continue
        bare = f"{module}/{sub}" if sub else module
        number = seen[bare] = seen.get(bare, 0) + 1
        found.append(
            Module(
                name=bare if number == 1 else f"{bare}#{number}",
                module=module,
                sub=sub,
                active=_flag(row, "active"),
                ok=_flag(row, "ok"),
                was_ok=_flag(row, "was_ok"),
                error=_flag(row, "error"),
                error_descr=decode(_first(row, "error_descr", "message", "error_code")),
                seen_ms=_seen_ms(row),
            )
        )
    return found


def is_complete(modules: Sequence[Module]) -> bool:
    """Answer whether a reading is the whole registry: a bus is in it, and at least as many rows as ever seen.

    An incomplete reading says that the registry is still growing, not that a bus has failed.
    """
    return len(modules) >= ROWS_MIN and any(one.module in ("CAN", "J1708") for one in modules)


def judge_buses(modules: Sequence[Module]) -> dict[str, dict[str, Any]]:
    """Answer each bus: {"can0": {"verdict", "ok", "was_ok", "active", "error", "seen_ms"}, …}.

    verdict: `ok` (works now), `worked` (worked once, not now), `failed` (fitted, never worked), `off` (not
    active), `missing` (in no reading) or `unknown` (not in a reading that is still incomplete).
    """
    whole = is_complete(modules)
    return {bus: _judge(_find(modules, *names), whole=whole) for bus, names in BUSES.items()}


def better(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    """Answer whether a reading {"at_ms", "rows"} replaces another.

    A whole registry beats one that grows; of two whole ones the newer wins, of two others the larger.
    """
    return old is None or _rank(new) >= _rank(old)


def to_rows(modules: Iterable[Module]) -> list[dict[str, Any]]:
    """Answer JSON-able rows with each module's `state`."""
    return [{**asdict(one), "state": one.state} for one in modules]


def from_rows(rows: Iterable[Mapping[str, Any]]) -> list[Module]:
    """Undo `to_rows`."""
    return [Module(**{key: value for key, value in row.items() if key != "state"}) for row in rows]


def _rank(reading: Mapping[str, Any]) -> tuple[bool, int, int]:
    whole = is_complete(from_rows(reading["rows"]))
    return whole, 0 if whole else len(reading["rows"]), reading["at_ms"]


def _find(modules: Sequence[Module], module: str, sub: str) -> Module | None:
    fits = [one for one in modules if one.module == module and (not sub or one.sub == sub)]
    return fits[0] if fits else None


def _judge(module: Module | None, *, whole: bool) -> dict[str, Any]:
    if module is None:
        return {"verdict": "missing" if whole else "unknown"}
    if not module.active:
        verdict = "off"
    elif module.ok:
        verdict = "ok"
    else:
        verdict = "worked" if module.was_ok else "failed"
    return {
        "verdict": verdict,
        "active": module.active,
        "ok": module.ok,
        "was_ok": module.was_ok,
        "error": module.error_descr if module.error else "",
        "seen_ms": module.seen_ms,
    }


def _flag(row: Json, key: str) -> bool:
    value = row.get(key)
    return value if isinstance(value, bool) else text_of(row, key).strip().lower() in ("1", "true")


def _seen_ms(row: Json) -> int | None:
    known = row.get("seen_ms")
    if isinstance(known, int):
        return known
    return read_time_ms(_first(row, "last_update_date", "last_update"))


def _first(row: Json, *names: str) -> str:
    return next((text_of(row, name) for name in names if text_of(row, name)), "")
