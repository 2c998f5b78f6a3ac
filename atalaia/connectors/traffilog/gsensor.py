"""The G-sensor command: how the unit is mounted, as the one rule behind the upstream's table gives it; pure.

Source: contracts/traffilog.md §9.2, §9.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atalaia.errors import Rejected

SIDES = ("UP", "DOWN", "LEFT", "RIGHT", "FRONT", "BACK")
SUFFIX = " [GS]"

_AXES: dict[str, tuple[int, int, int]] = {
    "UP": (0, 0, 1),
    "DOWN": (0, 0, -1),
    "LEFT": (0, 1, 0),
    "RIGHT": (0, -1, 0),
    "BACK": (1, 0, 0),
    "FRONT": (-1, 0, 0),
}
_Q10 = {0: "0000", 1: "0400", -1: "FC00"}
# The vendor's table holds another pair's matrix here, so either the table or the rule is wrong.
_DOUBTFUL = frozenset({("LEFT", "FRONT")})


@dataclass(frozen=True, slots=True)
class Mount:
    """Which way the label and the harness of a unit point, seen in the vehicle.

    Errors: `Rejected` for a side that does not exist, a pair that cannot be, and a pair that is in doubt.
    """

    label: str
    harness: str

    def __post_init__(self) -> None:
        for side in (self.label, self.harness):
            if side not in _AXES:
                raise Rejected(f"“{side}” is no side of a vehicle: {', '.join(SIDES)}.")
        if _dot(_AXES[self.label], _AXES[self.harness]):
            raise Rejected(
                f"Label {self.label} and harness {self.harness} lie on one axis, but they are on neighbouring"
                " sides of the unit: one of the two was read wrongly."
            )
        if (self.label, self.harness) in _DOUBTFUL:
            raise Rejected(
                "LEFT with FRONT is not sent: the vendor's table holds the matrix of RIGHT with FRONT there."
                " It waits for the vendor's word or a test on the bench."
            )

    @property
    def command(self) -> str:
        """The raw command, e.g. `(o2w,44,C614…)`."""
        return _command(self.label, self.harness)

    @property
    def comment(self) -> str:
        """What the portal's history shows when nobody wrote a comment."""
        return f"GSensor: GS_{self.label}_{self.harness}"


def mounts() -> list[Mount]:
    """Answer every mount that can be sent."""
    found: list[Mount] = []
    for label in SIDES:
        for harness in SIDES:
            try:
                found.append(Mount(label, harness))
            except Rejected:
                continue
    return found


def read_mount(label: str, harness: str) -> Mount:
    """Answer a mount from what was typed or chosen. Errors: `Rejected`."""
    return Mount(label.strip().upper(), harness.strip().upper())


def with_suffix(comment: str) -> str:
    """Answer the comment with ` [GS]` at its end, once."""
    bare = comment.rstrip()
    return bare if bare.endswith(SUFFIX.strip()) else f"{bare}{SUFFIX}".lstrip()


def payload_of(command: str) -> str:
    """Answer the hex inside of a command, upper case, by which the unit's messages show it. `""` if none."""
    inside = command.strip().removeprefix("(").removesuffix(")").split(",")
    return inside[2].strip().upper() if len(inside) == 3 else ""


def _command(label: str, harness: str) -> str:
    z = _AXES[label]
    x = tuple(-one for one in _AXES[harness])
    y = _cross(z, x)
    numbers = "".join(_Q10[column[row]] for row in range(3) for column in (x, y, z))
    payload = f"C614{numbers}0000"
    return f"(o2w,{len(payload)},{payload})"


def _dot(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _cross(one: Sequence[int], other: Sequence[int]) -> tuple[int, int, int]:
    (a, b, c), (d, e, f) = one, other
    return b * f - c * e, c * d - a * f, a * e - b * d
