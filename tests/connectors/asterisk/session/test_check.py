"""The test before a connection is saved says what was seen, and what to do about what failed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from atalaia.connections.session import CheckStep
from atalaia.connectors.asterisk import CONNECTOR
from tests.connectors.asterisk.session.rig import Rig
from tests.connectors.asterisk.session.test_configuration import write


async def check(rig: Rig, **changes: object) -> dict[str, CheckStep]:
    """Run the check; the clock moves on so that time limits pass."""
    assert CONNECTOR.check is not None
    task = asyncio.ensure_future(CONNECTOR.check(rig.settings(**changes), rig.ambient))
    await rig.run_until(task.done, at_most_s=60)
    return {step.name: step for step in task.result()}


async def test_everything_in_order(rig: Rig, tmp_path: Path) -> None:
    write(tmp_path, "1121001", "1121002")
    steps = await check(
        rig, etc_folder=str(tmp_path), ami_port=rig.sim.ami_port, recordings_folder=str(tmp_path)
    )

    names = [
        "Host name",
        "Port",
        "ARI",
        "Rights",
        "Events",
        "AMI",
        "Configuration",
        "Endpoints",
        "Recordings",
    ]
    assert {name: step.outcome for name, step in steps.items()} == dict.fromkeys([*names, "RabbitMQ"], "ok")
    assert steps["ARI"].said == "Asterisk 22.10.1 called demo1."
    assert steps["Configuration"].said == "1 clients, 2 endpoints, 0 ring groups."
    assert "mq1 (mq.example.test:5672)" in steps["RabbitMQ"].said
    assert "test-only" not in repr(steps)
    await rig.spin(lambda: rig.sim.state()["connections"] == [])


async def test_a_wrong_password_is_named_and_the_rest_skipped(rig: Rig) -> None:
    steps = await check(rig, password="another")

    assert steps["ARI"].outcome == "failed"
    assert "ari.conf" in steps["ARI"].todo
    assert steps["Events"].outcome == "skipped"


async def test_a_missing_prefix_is_found_out() -> None:
    rig = Rig(prefix="asterisk")
    await rig.start()
    try:
        steps = await check(rig, prefix="")
        assert steps["ARI"].todo == "Set the prefix to “asterisk”."
        assert (await check(rig))["Events"].outcome == "ok"
    finally:
        await rig.close()


async def test_a_superfluous_prefix_is_found_out(rig: Rig) -> None:
    assert (await check(rig, prefix="asterisk"))["ARI"].todo == "Leave the prefix empty."


async def test_a_read_only_user_is_allowed_and_told(rig: Rig) -> None:
    steps = await check(rig, user="observer")

    assert (steps["Rights"].outcome, steps["Events"].outcome) == ("ok", "ok")
    assert "read_only" in steps["Rights"].todo


async def test_a_mute_socket_fails_the_check(rig: Rig) -> None:
    await rig.sim.faults.start("mute-next")

    assert (await check(rig))["Rights"].outcome == "failed"


async def test_a_hung_asterisk_fails_the_check(rig: Rig) -> None:
    await rig.sim.faults.start("hung")
    steps = await check(rig)

    assert steps["Port"].outcome == "ok"
    assert steps["ARI"].evidence["health"] == "hung"


async def test_an_unknown_name_stops_at_the_first_step(rig: Rig) -> None:
    steps = await check(rig, url="http://nowhere.invalid:8088")

    assert steps["Host name"].outcome == "failed"
    assert steps["ARI"].outcome == "skipped"


async def test_bad_lines_and_unreadable_folders_are_named(rig: Rig, tmp_path: Path) -> None:
    write(tmp_path, "1121001", "112")
    steps = await check(rig, etc_folder=str(tmp_path), recordings_folder=str(tmp_path / "none"))

    assert "endpoints_pjsip.def:2" in steps["Configuration"].todo
    assert steps["Recordings"].outcome == "failed"
