"""People who log in at the portal, the companies they see, and the test before a connection is saved."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.connectors.traffilog.portal import people
from atalaia.connectors.traffilog.portal.check import check_login
from atalaia.connectors.traffilog.portal.client import Account, Portal
from atalaia.errors import Refused
from simulators.traffilog import TraffilogSimulator
from tests.connectors.traffilog.portal.bench import settings_for
from tests.simulators.traffilog_ground import running


@pytest_asyncio.fixture
async def sim(clock: HeldClock) -> AsyncIterator[TraffilogSimulator]:
    async with running(clock) as sim:
        yield sim


async def test_a_technician_sees_the_companies_of_his_own_groups(sim: TraffilogSimulator, ambient: Ambient):
    sim.portal.add_user("ana", "ana-secret", ("310209",))
    settings = settings_for(sim)

    hers = await people.groups_of_person(settings, ambient, "ana", "ana-secret")
    async with Portal(settings, Account(("here", "office")), ambient) as portal:
        companies = await people.clients(portal)

    assert len(companies) > 1
    assert [one.client_id for one in people.seen_by(hers, companies)] == ["310209"]
    assert sim.portal.evictions == 0


async def test_a_wrong_password_is_refused(sim: TraffilogSimulator, ambient: Ambient):
    sim.portal.add_user("ana", "ana-secret", ("310209",))

    with pytest.raises(Refused):
        await people.groups_of_person(settings_for(sim), ambient, "ana", "guessed")


async def test_the_schemes_of_a_company_are_listed(sim: TraffilogSimulator, ambient: Ambient):
    async with Portal(settings_for(sim), Account(("here", "office")), ambient) as portal:
        rows = await people.schemes(portal, "310209")

    assert [row["VEHICLE_SETTING_ID"] for row in rows] == ["9000", "5411"]


@pytest.mark.parametrize(
    ("changes", "outcomes"),
    [
        ({}, ["ok", "ok"]),
        ({"root_group": ""}, ["ok", "skipped"]),
        ({"root_group": "999"}, ["ok", "failed"]),
        ({"portal_password": "wrong"}, ["failed"]),
    ],
)
async def test_the_login_is_tried_before_a_connection_is_saved(
    sim: TraffilogSimulator, ambient: Ambient, changes: dict[str, str], outcomes: list[str]
):
    steps = await check_login(settings_for(sim, **changes), ambient)

    assert [step.outcome for step in steps] == outcomes
    assert all(step.todo for step in steps if step.outcome != "ok")
