"""The words for what a session truly is, beside the state of our own line to it. See ADR 0010.

The state machine (`state.py`) says whether we keep a line and whether it is proven; these say what is known
of the upstream's session at its other end. They stand in `connection_states.kind` and in the facts of
transitions.
"""

from __future__ import annotations

from enum import StrEnum


class Truth(StrEnum):
    """What is known, beside the state.

    While opening: `starting`. While live: none, the state says all. While suspect: from `unproven` to
    `closed`, or `recovering`. While a person is needed: `pairing`, `logged_out` and whatever could not be
    cured.
    """

    NONE = ""
    STARTING = "starting"  # the upstream's session comes up
    PAIRING = "pairing"  # somebody must scan a code
    UNPROVEN = "unproven"  # open again, but hearing and speaking are not both proven
    SILENT = "silent"  # nothing comes that should
    NO_ACK = "no_ack"  # what was sent is not acknowledged
    DEAF = "deaf"  # proven: the upstream has what never reached us
    HUNG = "hung"  # it does not answer
    BROWSER_LOST = "browser_lost"  # what carries the session there is gone
    LOGGED_OUT = "logged_out"  # the pairing is gone
    CLOSED = "closed"  # somebody closed it there
    RECOVERING = "recovering"  # a rung of the ladder is being tried


# What is heard no more, although the line to the upstream is open: from its beginning on there is a gap.
NOT_HEARING = frozenset(
    {
        Truth.STARTING, Truth.PAIRING, Truth.DEAF, Truth.HUNG, Truth.BROWSER_LOST, Truth.LOGGED_OUT,
        Truth.CLOSED, Truth.SILENT,
    }
)  # fmt: skip
