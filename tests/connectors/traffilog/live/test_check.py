"""The test before a connection is saved: each cause is told apart, with its remedy."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from atalaia.connections.session import CheckStep
from atalaia.connectors.traffilog.check import check
from simulators.traffilog.world import PRODUCTION_GROUP
from tests.connectors.traffilog.live.rig import Rig


async def checked(rig: Rig, **changes: Any) -> dict[str, CheckStep]:
    task = asyncio.create_task(check(rig.settings(**changes), rig.ambient))
    await rig.passing(task.done)
    return {step.name: step for step in task.result()}


def outcomes(steps: dict[str, CheckStep]) -> dict[str, str]:
    return {name: step.outcome for name, step in steps.items() if step.outcome != "ok"}


async def test_good_settings_pass_every_step(rig: Rig):
    portal = {"portal_user": "office", "portal_password": "test-only-c", "root_group": PRODUCTION_GROUP}
    steps = await checked(rig, portal_url=rig.sim.portal_url, **portal)

    assert outcomes(steps) == {}
    assert steps["Frame"].evidence["answer_ms"] >= 0


async def test_an_unknown_name_is_a_dns_failure_and_nothing_more_is_tried(rig: Rig):
    steps = await checked(rig, api_url="http://no-such-host.invalid/appengine_3")

    assert steps["API: name"].outcome == "failed"
    assert "DNS" in steps["API: name"].todo
    skipped = ("API: route", "API: port", "API: TLS", "Login", "WebSocket", "Frame")
    assert [steps[name].outcome for name in skipped] == ["skipped"] * len(skipped)


async def test_a_closed_port_is_a_tcp_failure(rig: Rig):
    await rig.sim.close_ports()
    steps = await checked(rig)
    await rig.sim.open_ports()

    assert [steps[f"Socket: {name}"].outcome for name in ("name", "route", "port", "TLS")] == [
        "ok", "ok", "failed", "skipped",
    ]  # fmt: skip


async def test_tls_where_none_is_spoken_is_a_tls_failure(rig: Rig):
    steps = await checked(rig, socket_url=rig.sim.ws_url.replace("ws://", "wss://"))

    assert steps["Socket: port"].outcome == "ok"
    assert steps["Socket: TLS"].outcome == "failed"


async def test_a_wrong_password_fails_at_the_login(rig: Rig):
    steps = await checked(rig, password="not-this-one")

    assert outcomes(steps) == {
        "Login": "failed", "WebSocket": "skipped", "Frame": "skipped", "Portal": "skipped",
    }  # fmt: skip
    assert "password" in steps["Login"].todo


async def test_a_foreign_origin_fails_at_the_websocket(rig: Rig):
    steps = await checked(rig, origin="https://elsewhere.example.test")

    assert outcomes(steps) == {"WebSocket": "failed", "Frame": "skipped", "Portal": "skipped"}
    assert "origin" in steps["WebSocket"].todo


@pytest.mark.parametrize("fault", ["forbidden", "pool-exhausted", "lost-request"])
async def test_frames_that_are_not_answered_well_fail_at_the_frame(rig: Rig, fault: str):
    await rig.sim.faults.start(fault)
    steps = await checked(rig)

    assert outcomes(steps) == {"Frame": "failed", "Portal": "skipped"}


async def test_no_step_shows_a_secret(rig: Rig):
    await rig.sim.faults.start("forbidden")
    steps = await checked(rig)

    said = repr(list(steps.values()))
    tokens = [session.token for session in rig.sim.upstream.accounts.sessions.values()]
    assert not any(secret in said for secret in (*tokens, "test-only-a"))
