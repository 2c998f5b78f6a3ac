"""What one fault of a simulator is, in the words of the fault panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Text = dict[str, str]


@dataclass(frozen=True)
class Fault:
    """One way to misbehave.

    `once` happens at a moment; `lasting` holds until it is ended. `default_s` is how long the fault
    panel keeps a lasting one; texts are by language, "pt-BR" and "en".
    """

    name: str
    kind: Literal["once", "lasting"]
    title: Text
    description: Text
    ends: Text
    default_s: float = 0.0

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "kind": self.kind,
            "title": self.title,
            "description": self.description,
            "ends": self.ends,
            "default_s": self.default_s,
        }


def fault(
    name: str,
    title: tuple[str, str],
    description: tuple[str, str],
    ends: tuple[str, str],
    *,
    lasts_s: float = 0.0,
) -> Fault:
    """Answer a fault whose texts are pairs (pt-BR, en); with `lasts_s` a lasting one."""

    def both(text: tuple[str, str]) -> Text:
        return {"pt-BR": text[0], "en": text[1]}

    kind: Literal["once", "lasting"] = "lasting" if lasts_s else "once"
    return Fault(name, kind, both(title), both(description), both(ends), lasts_s)
