"""How strict the surfaces are, where the contract leaves it open."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

ORIGIN = "https://operation.telematics.example.test"


@dataclass
class Doors:
    """How strict the surfaces are; what the contract leaves open is a switch here.

    `origin` empty asks for none. `bad_token_status`: what an unknown token gets at the handshake.
    `strict`: frames must be compact, byte for byte. `nul_tails`: tails of fragmented answers end in a NUL
    where the upstream's own length error puts one. `login_form`: where a login answer carries the token.
    """

    origin: str = ORIGIN
    bad_token_status: int = 403
    strict: bool = True
    nul_tails: bool = True
    login_form: Literal["both", "properties", "data"] = "both"
    bad_frames: deque[str] = field(default_factory=lambda: deque[str](maxlen=1_000))
