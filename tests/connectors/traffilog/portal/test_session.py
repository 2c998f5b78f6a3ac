"""One account, one session: how it begins, how it ends, and what is believed of an empty answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.connectors.traffilog.portal import forms, lookups
from atalaia.connectors.traffilog.portal.client import LOGINS_A_MINUTE_MAX, Account, Portal
from atalaia.connectors.traffilog.portal.lookups import Found, NotThere
from atalaia.errors import InDoubt, Refused, Rejected, Unavailable
from atalaia.jobs.model import Direction
from simulators.traffilog import TraffilogSimulator
from tests.connectors.traffilog.portal.bench import USED, USED_PLATE, settings_for
from tests.journeys.waiting import until
from tests.simulators.traffilog_ground import PORTAL_PASSWORD, PORTAL_USER, running

WITHIN_S = 30  # of the settings


class Desk:
    """One account used again and again, as the steps of jobs do."""

    def __init__(self, sim: TraffilogSimulator, ambient: Ambient) -> None:
        self.sim, self.ambient = sim, ambient
        self.settings = settings_for(sim, portal_within_s=WITHIN_S, portal_login_within_s=WITHIN_S)
        self.account = Account(("here", "me"))
        self.frames: list[str] = []

    def use(self) -> Portal:
        def record(direction: Direction, text: str) -> None:
            self.frames.append(text)

        return Portal(self.settings, self.account, self.ambient, record)

    async def ask(self, form: forms.Form | None = None) -> str:
        async with self.use() as portal:
            return await portal.ask(form or forms.clients())

    @property
    def logins(self) -> int:
        return self.sim.portal.logins[PORTAL_USER]


@pytest_asyncio.fixture
async def desk(ambient: Ambient, clock: HeldClock) -> AsyncIterator[Desk]:
    async with running(clock) as sim:
        yield Desk(sim, ambient)


async def test_a_session_is_made_once_and_shows_its_cookies_in_the_portals_order(desk: Desk):
    await desk.ask()
    await desk.ask()

    assert desk.logins == 1
    names = [part.partition("=")[0] for part in desk.sim.portal.headers[-1]["Cookie"].split("; ")]
    assert names == [
        "ASP.NET_SessionId", "TFL_SESSION", "EULA_APPROVED", "APPLICATION_ROOT_NODE", "LOGIN_DATA", "AWSALB",
        "AWSALBCORS",
    ]  # fmt: skip


async def test_the_fields_arrive_in_order(desk: Desk):
    await desk.ask(forms.vehicles(plate=USED_PLATE))

    assert desk.sim.portal.heard[-1] == (
        "VHCLS",
        ["action", "VERSION_ID", "REFRESH_FLG", "LICENSE_NMBR", "CLIENT_DESCR", "OWNER_DESCR", "DIAL_NMBR",
         "INNER_ID"],
    )  # fmt: skip


async def test_a_session_that_somebody_evicted_is_made_again_once_and_counted(desk: Desk):
    await desk.ask()
    desk.sim.portal.evict()
    await desk.ask()

    assert desk.logins == 3  # ours, somebody's, ours
    assert desk.account.evicted_since(desk.ambient.clock.now()) == 1


async def test_a_stale_session_is_not_believed_when_it_says_that_there_is_nothing(desk: Desk):
    await desk.ask()
    await desk.sim.faults.start("portal-stale")
    desk.sim.portal.evict()

    async with desk.use() as portal:
        found = await lookups.by_plate(portal, USED_PLATE)

    assert isinstance(found, Found) and found.vehicle.id == USED


async def test_absence_is_believed_from_a_fresh_session_only(desk: Desk, clock: HeldClock):
    async with desk.use() as portal:
        assert await lookups.by_plate(portal, "XXX0X00") == NotThere()
    assert desk.logins == 1  # it was fresh
    assert [action for action, _ in desk.sim.portal.heard][-1] == forms.GROUPS  # and surely alive

    await clock.run_for(61)
    async with desk.use() as portal:
        assert await lookups.by_serial(portal, "920009999") == []
        assert await lookups.activation_of(portal, "1") is None
    assert desk.logins == 2


async def test_an_old_session_is_renewed_before_it_ends(desk: Desk, clock: HeldClock):
    await desk.ask()
    await clock.run_for(26 * 60)
    await desk.ask()

    assert desk.logins == 2
    assert not desk.account.evictions


async def test_a_wrong_password_needs_a_person(desk: Desk):
    desk.settings = settings_for(desk.sim, portal_password="wrong")

    with pytest.raises(Refused) as refused:
        await desk.ask()

    assert "portal" in refused.value.ask


async def test_two_owners_of_one_account_are_stopped_by_a_brake(desk: Desk):
    for _ in range(LOGINS_A_MINUTE_MAX):
        await desk.ask()
        desk.sim.portal.evict()

    with pytest.raises(Unavailable, match="somebody else uses its account"):
        await desk.ask()


async def test_a_portal_that_is_gone_is_waited_for(desk: Desk):
    await desk.sim.faults.start("gone")

    with pytest.raises(Unavailable):
        await desk.ask()

    await desk.sim.faults.stop("gone")
    await desk.ask()


async def test_a_portal_that_does_not_answer_in_time_is_waited_for(desk: Desk, clock: HeldClock):
    await desk.ask()
    await desk.sim.faults.start("portal-slow", times=1, delay_s=3600)
    asking = asyncio.create_task(desk.ask())
    # Login, the first question, this one.
    await until(lambda: len(desk.sim.portal.heard) >= 3, "the portal has heard the question")
    await clock.run_for(WITHIN_S + 1)

    with pytest.raises(Unavailable, match="did not answer"):
        await asking


async def test_a_question_that_the_portal_always_refuses_is_rejected(desk: Desk):
    await desk.sim.faults.start("portal-action-error")

    with pytest.raises(Rejected, match="Action: CLIENTS error"):
        await desk.ask()


async def test_a_page_in_the_place_of_an_answer_is_a_lost_session(desk: Desk):
    await desk.ask()
    await desk.sim.faults.start("portal-html", times=1)
    await desk.ask()

    assert desk.logins == 2


async def test_a_page_in_the_place_of_a_writes_answer_leaves_it_in_doubt(desk: Desk):
    left: list[bool] = []

    async def sending() -> None:
        left.append(True)

    await desk.ask()
    await desk.sim.faults.start("portal-html", times=1)
    async with desk.use() as portal:
        with pytest.raises(InDoubt):
            await portal.write(forms.deactivate(USED, USED_PLATE, "ANA", ""), sending)

    assert left == [True]


async def test_a_write_that_met_an_ended_session_is_sent_by_a_new_one(desk: Desk):
    async def sending() -> None:
        pass

    await desk.ask()
    desk.sim.portal.evict()
    async with desk.use() as portal:
        await portal.write(forms.deactivate(USED, USED_PLATE, "ANA", ""), sending)

    assert desk.sim.ledger.count("deactivation") == 1


async def test_what_is_kept_of_a_conversation_holds_no_password(desk: Desk):
    await desk.ask()

    assert desk.frames[0].startswith("action=APPLICATION_LOGIN&username=")
    assert not [text for text in desk.frames if PORTAL_PASSWORD in text or "TFL_SESSION" in text]
