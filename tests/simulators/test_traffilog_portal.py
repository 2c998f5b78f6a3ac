"""Surface C: sessions that evict each other, lookups, writes and what they refuse."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import aiohttp
import pytest

from simulators.traffilog import TraffilogSimulator
from tests.simulators.traffilog_ground import PORTAL_PASSWORD, PORTAL_USER, RECORDINGS, running

STOCK, FREE, RUNNING = "2900195", "2900166", "2900151"
SERIAL = "920003010"


@dataclass
class Browser:
    """A client of the portal that keeps cookies by hand, as the contract's section 10.2 tells."""

    sim: TraffilogSimulator
    session: aiohttp.ClientSession
    jar: dict[str, str] = field(default_factory=dict[str, str])

    def _merge(self, answer: aiohttp.ClientResponse) -> None:
        for line in answer.headers.getall("Set-Cookie", []):
            name, _, value = line.split(";")[0].partition("=")
            self.jar[name] = value

    async def log_in(self, password: str = PORTAL_PASSWORD) -> str:
        async with self.session.get(self.sim.portal_bootstrap_url, allow_redirects=False) as answer:
            self._merge(answer)
        self.jar.pop("TFL_SESSION", None)
        fields = {"username": PORTAL_USER, "password": password, "language": "7001", "BOL_SAVE_COOKIE": "1"}
        text = await self.ask("APPLICATION_LOGIN", **fields)
        self.jar |= {"EULA_APPROVED": "1", "LOGIN_DATA": ""}
        self.jar["APPLICATION_ROOT_NODE"] = "%7B%22node%22%3A%22-2%22%7D"
        return text

    async def ask(self, action: str, **fields: str) -> str:
        body = urlencode({"action": action, "VERSION_ID": "2", **fields})
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.jar.items())}
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        async with self.session.post(self.sim.portal_url, data=body, headers=headers) as answer:
            assert answer.status == 200
            self._merge(answer)
            return await answer.text()

    async def rows(self, action: str, tag: str = "DATA", **fields: str) -> list[dict[str, str]]:
        tree = ElementTree.fromstring(await self.ask(action, **fields))
        return [dict(one.attrib) for one in tree.iter(tag)]

    async def save(self, vehicle_id: str, serial: str, plate: str, **fields: str) -> str:
        own = {"VEHICLE_ID": vehicle_id, "LICENSE_NMBR": plate, "INNER_ID": serial, "DIAL_NUMBER": serial}
        own |= {"FIELD_IDS": "2,6", "FIELD_VALUE": f"2:{serial},6:{serial}", "ASSET_TYPE": "8064"}
        return await self.ask("SAVE_VHCL_ACTIVATION_NEW", **{**own, **fields})

    async def deactivate(self, vehicle_id: str, plate: str) -> str:
        why = {"INSTALLER_NAME": "ANA", "COMMENTS": "out", "REASON_CODE": "5501", "DELIVER_CODE": "5511"}
        return await self.ask("DEACTIVATE_VEHICLE_HIST", VEHICLE_ID=vehicle_id, LICENSE_NMBR=plate, **why)


@pytest.fixture
async def sim() -> AsyncIterator[TraffilogSimulator]:
    async with running() as made:
        yield made


@pytest.fixture
async def browser(sim: TraffilogSimulator) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        made = Browser(sim, session)
        assert "node=-2" in await made.log_in()
        yield made


async def test_a_wrong_password_gives_no_session(sim: TraffilogSimulator, browser: Browser):
    assert 'login="-1"' in await browser.log_in("wrong")
    assert "TFL_SESSION" not in browser.jar


async def test_a_later_login_of_the_account_evicts_the_session(sim: TraffilogSimulator, browser: Browser):
    await sim.faults.start("portal-evict")
    assert 'login="-1"' in await browser.ask("VHCLS", LICENSE_NMBR="TST2R51")
    await browser.log_in()
    assert len(await browser.rows("VHCLS", LICENSE_NMBR="TST2R51")) == 1
    assert sim.portal.evictions == 2


async def test_a_stale_session_looks_like_not_found(sim: TraffilogSimulator, browser: Browser):
    await sim.faults.start("portal-stale")
    empty = (RECORDINGS / "html5" / "vhcls_empty.xml").read_text()
    assert await browser.ask("VHCLS", LICENSE_NMBR="TST2R51") == empty
    await browser.log_in()
    assert len(await browser.rows("VHCLS", LICENSE_NMBR="TST2R51")) == 1


async def test_balancer_cookies_change_with_every_answer(browser: Browser):
    before = browser.jar["AWSALB"]
    await browser.ask("CLIENTS", REFRESH_FLG="1")
    assert browser.jar["AWSALB"] != before
    assert browser.jar["AWSALB"] == browser.jar["AWSALBCORS"]


@pytest.mark.parametrize(
    ("file", "action", "tag"),
    [("clients.constructed", "CLIENTS", "CLIENT"), ("login_user_groups", "LOGIN_USER_GROUPS", "GROUP")],
)
async def test_lists_have_the_attributes_of_the_recordings(
    browser: Browser, file: str, action: str, tag: str
):
    told = (RECORDINGS / "html5" / f"{file}.xml").read_text()
    said = await browser.ask(action, REFRESH_FLG="1")
    assert said.split(">")[0] == told.split(">")[0]
    assert _names(said, tag) == _names(told, tag)


async def test_a_vehicle_row_has_the_attributes_of_the_recordings(browser: Browser):
    told = (RECORDINGS / "html5" / "vhcls_one_bench.constructed.xml").read_text()
    said = await browser.ask("VHCLS", REFRESH_FLG="1", INNER_ID=SERIAL)
    assert _names(said, "DATA") == _names(told, "DATA")
    assert re.sub("<DATA .*?/>", "", said) == re.sub("<DATA .*?/>", "", told)


def _names(text: str, tag: str) -> list[str]:
    first = next(ElementTree.fromstring(text).iter(tag))
    return list(first.attrib)


async def test_a_plate_is_found_as_it_stands_and_not_otherwise(browser: Browser):
    assert len(await browser.rows("VHCLS", LICENSE_NMBR="604 - tst1b08")) == 1
    assert len(await browser.rows("VHCLS", LICENSE_NMBR="TST1B08")) == 1
    assert await browser.rows("VHCLS", LICENSE_NMBR="604-TST1B08") == []


async def test_the_activation_form_is_heavy_and_has_59_attributes(browser: Browser):
    text = await browser.ask("GET_VHCL_ACTIVATION_DATA_NEW", VEHICLE_ID=RUNNING)
    assert 85_000 < len(text) < 93_000
    [row] = [dict(one.attrib) for one in ElementTree.fromstring(text).iter("DATA")]
    assert len(row) == 59
    assert row["DIAL_NUMBER"] == "920002915"


async def test_an_installation_is_saved_and_counted(sim: TraffilogSimulator, browser: Browser):
    assert "ERROR" not in await browser.deactivate(STOCK, SERIAL)
    assert "ERROR" not in await browser.save(FREE, SERIAL, "TST3T66", ACCOSSORIES_COMMENTS="x #rid=7_a")
    [row] = await browser.rows("VHCLS", INNER_ID=SERIAL)
    assert (row["VEHICLE_ID"], row["LICENSE_NMBR"]) == (FREE, "TST3T66")
    assert sim.ledger.count("activation", FREE, "7_a") == 1
    assert sim.ledger.count("deactivation", STOCK) == 1
    await browser.save(FREE, SERIAL, "TST3T66", ACCOSSORIES_COMMENTS="x #rid=7_a")
    assert [len(group) for group in sim.ledger.doubled()] == [2]


@pytest.mark.parametrize(
    ("vehicle_id", "serial", "fields", "words"),
    [
        (FREE, SERIAL, {}, "Failed to link unit"),  # another vehicle carries it
        (FREE, "920009999", {}, "Failed to link unit"),  # nobody registered it
        (RUNNING, "920003099", {}, "Failed to link unit"),
        (RUNNING, "920002915", {"FIELD_VALUE": "2:,6:"}, "Field value is mandatory"),
    ],
)
async def test_a_save_is_refused_in_the_portals_words(
    sim: TraffilogSimulator,
    browser: Browser,
    vehicle_id: str,
    serial: str,
    fields: dict[str, Any],
    words: str,
):
    text = await browser.save(vehicle_id, serial, "TST3T66", **fields)
    assert "<ERROR" in text and words in text
    assert sim.ledger.count() == 0


async def test_the_number_of_a_unit_cannot_be_edited(sim: TraffilogSimulator, browser: Browser):
    await browser.deactivate(STOCK, SERIAL)
    assert "Editing unit number is not allowed" in await browser.save(RUNNING, SERIAL, "TST2R51")


async def test_an_order_makes_a_vehicle_that_appears_a_moment_later(
    sim: TraffilogSimulator, browser: Browser
):
    await sim.faults.start("portal-order-hidden", times=1, delay_s=5)
    text = await browser.ask("ORDER_SAVE", ORDERID="-1", CLIENT_ID="310206", QUANTITY="1")
    order = re.findall('ORDER_ID="([0-9]+)"', text)[0]
    hidden = await browser.rows("VHCLS", CLIENT_DESCR="Marítima Transportes")
    await sim.clock.sleep(6)
    shown = await browser.rows("VHCLS", CLIENT_DESCR="Marítima Transportes")
    assert [row["ORDERS_LIST"] for row in shown if row not in hidden] == [order]
    assert sim.ledger.count("order", "310206") == 1


async def test_a_vehicle_moves_to_another_company_with_its_model(sim: TraffilogSimulator, browser: Browser):
    fields = {"VEHICLE_ID": RUNNING, "ASSET_DESCRIPTION": "TST2R51", "UNIT": "920002915"}
    fields |= {"CLIENT_ID": "310273", "MODEL_CODE": "4016"}
    assert "No privilege to edit" in await browser.ask("ASSET_BASIC_SAVE", **fields, GROUP_ID="330404")
    assert "ERROR" not in await browser.ask("ASSET_BASIC_SAVE", **fields, GROUP_ID="330403")
    [row] = await browser.rows("VHCLS", LICENSE_NMBR="TST2R51")
    assert (row["CLIENT_ID"], row["ASSET_TYPE"]) == ("310273", "4016")
    assert sim.ledger.count("company_change", RUNNING) == 1


async def test_an_answer_is_lost_after_its_effect_or_before_it(sim: TraffilogSimulator, browser: Browser):
    await sim.faults.start("portal-lost-answer", times=1, action="DEACTIVATE_VEHICLE_HIST")
    with pytest.raises(aiohttp.ClientError):
        await browser.deactivate(STOCK, SERIAL)
    assert sim.ledger.count("deactivation", STOCK) == 1
    await sim.faults.start("portal-lost-request", times=1, action="SAVE_VHCL_ACTIVATION_NEW")
    with pytest.raises(aiohttp.ClientError):
        await browser.save(FREE, SERIAL, "TST3T66")
    assert sim.ledger.count("activation") == 0
    assert sim.ledger.asked["SAVE_VHCL_ACTIVATION_NEW"] == 1


async def test_strange_answers_come_on_request(sim: TraffilogSimulator, browser: Browser):
    await sim.faults.start("portal-html", times=1, action="VHCLS")
    assert (await browser.ask("VHCLS", LICENSE_NMBR="TST")).startswith("<!DOCTYPE html")
    await sim.faults.start("portal-action-error", times=1)
    assert await browser.ask("VHCLS", LICENSE_NMBR="TST") == "Action: VHCLS error."
    await sim.faults.start("portal-link-failed", times=1)
    assert "Failed to link unit" in await browser.save(RUNNING, "920002915", "TST2R51")
    await sim.faults.start("portal-save-ignored", times=1)
    assert "ERROR" not in await browser.deactivate(RUNNING, "TST2R51")
    assert sim.ledger.count() == 0
    await sim.faults.start("portal-no-privilege", times=1)
    move = {"CLIENT_ID": "310273", "GROUP_ID": "330403", "UNIT": "920002915"}
    assert "No privilege" in await browser.ask("ASSET_BASIC_SAVE", VEHICLE_ID=RUNNING, **move)


async def test_a_form_that_differs_from_the_portals_own_is_named(sim: TraffilogSimulator, browser: Browser):
    await browser.deactivate(STOCK, SERIAL)
    assert list(sim.portal.odd_forms) == []
    await browser.save(FREE, SERIAL, "TST3T66", INSTALLED_BY="[object Object]")
    assert "SAVE_VHCL_ACTIVATION_NEW: missing MILAGE_SOURCE_ID" in sim.portal.odd_forms
    assert "SAVE_VHCL_ACTIVATION_NEW: INSTALLED_BY=[object Object]" in sim.portal.odd_forms


async def test_a_session_expires_and_an_answer_comes_late_on_request(
    sim: TraffilogSimulator, browser: Browser
):
    await sim.faults.start("portal-expired", times=1, action="VHCLS")
    assert 'login="-1"' in await browser.ask("VHCLS", LICENSE_NMBR="TST2R51")
    assert len(await browser.rows("VHCLS", LICENSE_NMBR="TST2R51")) == 1
    await sim.faults.start("portal-slow", times=1, action="DEACTIVATE_VEHICLE_HIST", delay_s=100_000)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await browser.deactivate(STOCK, SERIAL)
    assert sim.ledger.count("deactivation", STOCK) == 1


async def test_an_account_with_clients_of_its_own_sees_only_those(sim: TraffilogSimulator, browser: Browser):
    sim.portal.users[PORTAL_USER].clients = ("310206",)
    groups = await browser.rows("LOGIN_USER_GROUPS", "GROUP")
    assert [row["CLIENT_DESCR"] for row in groups] == ["ROOT_Lib", "ROOT Production", "Marítima Transportes"]
    assert {row["CLIENT_ID"] for row in await browser.rows("VHCLS")} == {"310206"}


async def test_schemes_and_models_are_listed(sim: TraffilogSimulator, browser: Browser):
    schemes = await browser.rows("GET_VEHICLE_SETTINGS_GRID", CLIENT_ID="310273")
    assert [row["VEHICLE_SETTING_ID"] for row in schemes] == ["5410", "5470", "5536"]
    models = await browser.rows("ASSET_TYPES", "ASSET_TYPE")
    assert len(models) == len(sim.upstream.asset_types)
    assert list(models[0]) == ["ASSET_TYPE", "MANUFACTURER_DESCR", "MODEL", "SUB_MODEL"]
