"""How often a test that is marked long does what it does: as it says, or as somebody in a hurry wants."""

from __future__ import annotations

import os


def rounds(usual: int) -> int:
    """Answer `usual`, or what `ATALAIA_TEST_ROUNDS` says: `ATALAIA_TEST_ROUNDS=1 bin/test --long …`."""
    return int(os.environ.get("ATALAIA_TEST_ROUNDS") or usual)
