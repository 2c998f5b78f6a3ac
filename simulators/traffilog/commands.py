"""The commands of a Scheme Builder: which, how long, in which order, and what acknowledges them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

# Letter and how many hex digits follow it, as in the recorded run of 460 commands.
_HEAD = ("0F0606444D020000", "0F0606444D000000", "2100", "3100", "410100")
_SIZES = {
    "F0": (84, 112),
    "42": (34, 26),
    "AE": (42, 42),
    "90": (58, 22),
    "82": (6, 6),
    "1C": (50, 50),
    "1A": (78, 78),
    "27": (28, 28),
    "68": (80, 80),
}
BATCH = 70
FIRST_BATCH = 8  # the opening, before the batches
SYNCHRONOUS_LAST = 6


@dataclass(frozen=True)
class Command:
    """One command to the unit. `payload` without its number; `numbered`: whether it carries one."""

    letter: str
    payload: str
    numbered: bool = True

    @property
    def acknowledgement(self) -> str:
        if self.letter == "57":
            return "040106"
        return "0402F0" if self.letter == "F0" else f"0401{self.letter}"


def _filled(letter: str, random: Random) -> Command:
    size = random.choice(_SIZES[letter])
    return Command(letter, letter + f"{random.getrandbits(4 * size):0{size}X}")


def scheme_commands(total: int, key: str, random: Random) -> list[Command]:
    """Answer all commands of a run of `total`, 30 to 500, that ends with writing `key` and the reset.

    Source: the order of `ws/sb_run_460_steps.jsonl`: an opening of eight, the tables, a closing of fourteen.
    """
    middle = total - FIRST_BATCH - 14
    some_ae, some_42 = middle // 23, middle // 7
    letters = ["F0"] * (middle - some_ae - some_42) + ["AE"] * some_ae + ["42"] * some_42
    closing = ["1C", "90", "82", "1A", "27", "27", "68", "F0"]
    return [
        *(Command(payload[:2], payload) for payload in _HEAD),
        *(_filled(letter, random) for letter in ("90", "82", "AE")),
        *(_filled(letter, random) for letter in letters + closing),
        Command("33", "3300"),
        Command("23", "2300"),
        Command("13", f"1304{key.lower()}"),
        Command("0F", f"0F0606444D01{random.getrandbits(16):04X}"),
        Command("0F", f"0F0606444D03{random.getrandbits(16):04X}"),
        Command("57", "06025753", numbered=False),
    ]


def batches(commands: list[Command]) -> list[list[Command]]:
    """Answer the commands as they are sent together: one, seven, seventies, and the last six one by one."""
    body, last = commands[:-SYNCHRONOUS_LAST], commands[-SYNCHRONOUS_LAST:]
    parts = [body[:1], body[1:FIRST_BATCH]]
    parts += [body[start : start + BATCH] for start in range(FIRST_BATCH, len(body), BATCH)]
    return [*parts, *([one] for one in last)]


def percent(acknowledged: int, total: int) -> str:
    """Answer the progress as statuses have it: two decimals, trailing zeros removed."""
    return f"{acknowledged * 100 / total:.2f}".rstrip("0").rstrip(".")
