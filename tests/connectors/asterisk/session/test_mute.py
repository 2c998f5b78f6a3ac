"""No socket stays open and mute: every way of it is found and left within 15 s of the clock."""

from __future__ import annotations

import pytest

from atalaia.errors import Unavailable
from tests.connectors.asterisk.session.rig import Rig


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("mute", "does not know our application"),
        ("half-open", "The event socket is"),
        ("silent", "our own event did not come back"),
        ("replaced", "took the events away"),
        ("hung", "is hung"),
    ],
)
@pytest.mark.parametrize("after_s", [0.0, 4.0, 9.5, 29.0])
async def test_a_mute_socket_is_left_within_15_s(rig: Rig, fault: str, said: str, after_s: float) -> None:
    await rig.connect()
    await rig.clock.run_for(after_s)

    await rig.sim.faults.start(fault)
    error, took_s = await rig.end()

    assert isinstance(error, Unavailable)
    assert said in str(error)
    assert took_s <= 15
    assert rig.port.controls() == ["connected", "snapshot", "disconnected"]


async def test_a_mute_socket_is_left_even_while_events_came_until_then(rig: Rig) -> None:
    await rig.connect()
    rig.sim.begin("answered", "1121001", "1121002", ring_s=5.0, talk_s=20.0)
    await rig.clock.run_for(7)

    await rig.sim.faults.start("silent")
    error, took_s = await rig.end()

    assert "our own event did not come back" in str(error)
    assert took_s <= 15


async def test_a_socket_that_is_born_mute_never_counts_as_live(rig: Rig) -> None:
    await rig.sim.faults.start("mute-next")
    rig.begin()

    error, took_s = await rig.end()

    assert "does not know our application" in str(error)
    assert not rig.port.is_live
    assert took_s <= 15


async def test_each_connect_uses_a_fresh_application_name(rig: Rig) -> None:
    await rig.sim.faults.start("race")
    for _ in range(3):
        await rig.connect()
        await rig.sim.faults.start("drop")
        await rig.end()
        rig.port.heard.clear()

    names = {connection["app"] for connection in rig.sim.state()["connections"]}
    assert all(name.startswith("atalaia-voip1-") for name in names)


async def test_a_replaced_application_is_kept_as_an_event_before_the_session_ends(rig: Rig) -> None:
    await rig.connect()

    await rig.sim.faults.start("replaced")
    await rig.end()

    types = rig.port.types()
    assert types.index("ApplicationReplaced") < len(types) - 1
    assert rig.port.bodies("control")[-1]["health"] == "replaced"


async def test_a_hung_asterisk_is_called_hung_although_its_port_accepts(rig: Rig) -> None:
    await rig.sim.faults.start("hung")
    rig.begin()

    error, took_s = await rig.end()

    assert "accepts connections but gave no answer" in str(error)
    assert took_s <= 15
    assert rig.port.planes["rest"][:2] == ("failing", "hung")
