"""What is wrong with a session is found, named and mended, and nothing that is well is ever disturbed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from tests.connectors.wppconnect.live.yard import PROBE_S, SESSION, Yard
from tests.store.bases import Base, sqlite

__all__ = ["sqlite"]
FAULTS = [
    ("page_crash", "hung"),
    ("browser_killed", "browser_lost"),
    ("deaf", "deaf"),
    ("device_removed", "closed"),
]


@pytest_asyncio.fixture
async def yard(sqlite: Base, clock: HeldClock, ambient: Ambient) -> AsyncIterator[Yard]:
    """A session that was closed, found so, started and proven."""
    made = Yard(await sqlite.open(), clock, ambient)
    try:
        await made.open()
        await made.comes_to("live", at_most_s=300)
        yield made
    finally:
        await made.close()


async def test_a_closed_session_is_started_and_live_once_everything_is_proven(yard: Yard):
    assert await yard.looked() == ["closed", ""]
    assert await yard.tried() == ["start"]
    yard.write("bom dia")
    await yard.passing(yard.all_heard)
    assert yard.sim.disturbed(SESSION) == 1


@pytest.mark.parametrize(("fault", "kind"), FAULTS)
async def test_a_fault_is_found_in_time_by_its_name_and_every_message_is_in_the_log_once(
    yard: Yard, fault: str, kind: str
):
    yard.write("antes")
    await yard.passing(yard.all_heard)
    await yard.idle(600)  # the start is long ago
    await yard.sim.faults.start(fault, session=SESSION)
    yard.write("durante")

    async def is_named() -> bool:
        return kind in (await yard.looked())[2:]

    # Deafness shows at the next comparison, once the message is late; the rest at the next probe.
    within_s = yard.settings.behind_s + yard.settings.store_every_s if kind == "deaf" else 2 * PROBE_S
    assert await yard.passing(is_named) <= within_s + PROBE_S

    if fault == "device_removed":
        await yard.comes_to("needs_person", "pairing")
        disturbed = yard.sim.disturbed(SESSION)
        await yard.idle(7200)
        assert yard.sim.disturbed(SESSION) == disturbed, "while a person is needed nothing is tried"
        return
    await yard.comes_to("live")
    yard.write("depois")
    await yard.passing(yard.all_heard)
    assert all(gap.closed_ms is not None for gap in await yard.gaps())


async def test_what_was_missed_while_nobody_kept_the_session_is_brought_in_and_accounted_for(yard: Yard):
    await yard.leave()
    await yard.sim.faults.start("webhook_lost", 600, session=SESSION)
    yard.write("ninguém ouviu")
    await yard.idle(900)
    await yard.keep()

    await yard.comes_to("live")
    await yard.passing(yard.all_heard)

    [*_, recovered] = await yard.facts("message.received") or await yard.facts("wppconnect.onmessage")
    assert recovered.late
    assert all(gap.closed_ms is not None for gap in await yard.gaps())


async def test_a_quiet_account_is_never_disturbed(yard: Yard):
    await yard.idle(2 * 3600)
    await yard.passing(lambda: True)

    assert (await yard.state())[0] == "live"
    assert yard.sim.disturbed(SESSION) == 1
    assert await yard.tried() == ["start"]
