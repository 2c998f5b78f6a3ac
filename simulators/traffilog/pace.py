"""How long things take upstream: what was recorded, in seconds of the handed-in clock."""

from __future__ import annotations

from dataclasses import dataclass

Span = tuple[float, float]  # shortest and longest, drawn evenly


@dataclass(frozen=True)
class Pace:
    """Every pause of the upstream. `Pace()` is what was recorded; `Pace.at_once()` answers without any.

    `commands`: how long a Scheme Builder is where the scheme does not say, 30 to 500 commands.
    Source: contract sections 3.8, 9.1 and 16, and the recording `ws/sb_run_460_steps.jsonl`.
    """

    answer_s: Span = (0.3, 0.5)
    fragments_s: float = 0.0034  # between two rows of a fragmented answer
    subscribe_s: Span = (0.2, 2.0)
    process_id_s: Span = (0.0, 0.8)  # the review shows its process that long after the association
    slot_held_s: float = 10.0
    sb_start_s: Span = (15.0, 31.0)
    sb_first_command_s: Span = (2.0, 3.0)
    sb_first_ack_s: Span = (2.0, 26.6)  # the unit wakes up
    command_s: Span = (0.59, 0.63)
    transport_ack_s: Span = (0.68, 0.83)  # `1602<seq>` after its command
    command_ack_s: Span = (0.92, 1.05)  # `0401`/`0402` after its command
    batch_pause_s: Span = (1.1, 4.0)
    last_pause_s: Span = (0.8, 2.0)  # between the last six, each waiting for the one before
    repeat_s: Span = (0.9, 1.3)  # each status is told two or three times
    reboot_s: Span = (5.0, 60.0)
    registry_some_s: Span = (10.0, 30.0)  # the first modules appear
    registry_full_s: Span = (30.0, 120.0)
    report_s: float = 30.0  # battery reports of an idle unit
    burst_s: Span = (1.0, 5.0)
    gsensor_s: Span = (1.0, 5.0)
    gsensor_numbered: bool = True  # whether the run command travels as a numbered message
    portal_s: Span = (0.2, 0.6)
    asset_types_s: Span = (150.0, 200.0)
    order_visible_s: float = 1.0
    silence_s: float = 90.0  # after this long without an acknowledgement the upstream gives up
    commands: int = 460

    @classmethod
    def at_once(cls, *, commands: int = 40) -> Pace:
        """Answer a pace whose answers come at once, while units keep their own time."""
        none = (0.0, 0.0)
        return cls(
            answer_s=none,
            fragments_s=0.0,
            subscribe_s=none,
            process_id_s=none,
            portal_s=none,
            asset_types_s=none,
            commands=commands,
        )
