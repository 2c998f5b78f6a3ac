"""Which versions of the server do not fit, and what that costs.

A library of November 2025 renamed the status of an unpaired phone. Servers before 2.8.7 test the old
spelling, and accept the newer library: there an unpaired session stays connected for ever.
Source: contract WhatsApp, section 0, point 9.
"""

from __future__ import annotations

RENAMED_IN = (2, 8, 7)
KNOWN_SERVERS = "2.8.7"  # from here on the renamed status is followed
TODO = f"Update the server to {KNOWN_SERVERS} or newer."


def parts_of(version: str) -> tuple[int, ...]:
    """Answer the numbers of a version, none for what is no version."""
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def skew_of(version: str) -> str:
    """Answer what is wrong with a server's version, "" for nothing or when it is not told."""
    if not parts_of(version) or parts_of(version) >= RENAMED_IN:
        return ""
    return f"Server {version} may take an unpaired session for a connected one (status renamed since)."
