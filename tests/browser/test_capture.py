"""The capture snippet in a real browser: what it keeps is compared, replayed, and played by the simulator."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from pathlib import Path

import orjson
from aiohttp import web
from playwright.async_api import Browser, Page

from atalaia.clock import SystemClock
from atalaia.connectors.traffilog.capture import SNIPPET, read_capture, to_fixture
from atalaia.connectors.traffilog.compare import compare
from atalaia.connectors.traffilog.replay import replay_file
from simulators.traffilog import ORIGIN, TraffilogSimulator
from simulators.traffilog.server import Doors
from tests.peers.ground import ROOT
from tests.simulators.traffilog_ground import VEHICLE, frame, log_in, peer_of, running

MTKN = "1780240367372464698537"


def test_the_page_shows_the_snippet_that_the_command_prints():
    page = (ROOT / "docs/how-to/compare-telematics-frames.md").read_text()
    found = re.search(r"```js\n(.*?)```", page, re.DOTALL)
    assert found is not None and found[1] == SNIPPET.read_text()


async def screens(browser: Browser, sim: TraffilogSimulator, token: str) -> tuple[Page, web.AppRunner]:
    """A page that talks to the upstream as its screens do; `ask(text)` sends a frame."""

    async def page_of(_: web.Request) -> web.Response:
        script = f"""
        const socket = new WebSocket("{sim.ws_url}/GUID/{token}/json?defragment=1");
        window.came = 0;
        socket.onmessage = () => window.came++;
        window.ask = (text) => socket.send(text);
        window.ready = new Promise((done) => socket.onopen = done);
        """
        return web.Response(text=f"<title>screens</title><script>{script}</script>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page_of)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    page = await browser.new_page()
    await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    await page.evaluate("window.ready.then(() => true)")
    return page, runner


async def test_what_the_snippet_keeps_is_compared_replayed_and_played(browser: Browser, tmp_path: Path):
    async with running(SystemClock(), doors=Doors(origin="")) as sim:
        token = str((await log_in(sim))["session_token"])
        page, runner = await screens(browser, sim, token)
        saved = tmp_path / "telematics.jsonl"
        try:
            assert await page.evaluate(SNIPPET.read_text()) == "capturing; atalaiaCapture() saves"
            texts = [
                frame("vehicle_subscribe", {"vehicle_id": VEHICLE, "object_type": kind}, token, f"{MTKN}{n}")
                for n, kind in enumerate(("UNIT_MESSAGES", "UNIT_PARAMETERS"))
            ]
            texts.append(frame("get_monitor_module_state", {"vehicle_id": VEHICLE}, token, f"{MTKN}_a"))
            quick = {
                "unit_key": "SPT:0000000920001747",
                "local_action_id": "5",
                "cmd_id": "9",
                "ack_needed": "0",
            }
            texts.append(frame("send_quick_command", quick, token, f"{MTKN}9"))
            for text in texts:
                await page.evaluate("(text) => window.ask(text)", text)
            await page.wait_for_function("window.came > 50")
            async with page.expect_download() as download:
                await page.evaluate("window.atalaiaCapture()")
            await (await download.value).save_as(saved)
        finally:
            await page.close()
            await runner.cleanup()

        kept = saved.read_text()
        assert token.lower() not in kept.lower()
        frames = read_capture(saved)
        verdicts = [(one.action, one.verdict) for one in compare(frames)]
        assert verdicts == [
            ("vehicle_subscribe", "same"), ("vehicle_subscribe", "same"),
            ("get_monitor_module_state", "different"), ("send_quick_command", "same"),
        ]  # fmt: skip
        [told] = [one for one in compare(frames) if one.verdict == "different"]
        assert {(one.kind, one.field) for one in told.differences if not one.harmless} == {
            ("missing", "parameters.tag"), ("missing", "parameters.filter"),
        }  # fmt: skip

        fixture = tmp_path / "session.jsonl"
        fixture.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in to_fixture(frames)))
        facts = Counter(line["type"] for line in replay_file(fixture) if line["kind"] == "fact")
        assert facts["vehicle.parameters_seen"] and facts["vehicle.modules_read"] == 1
        await played(sim, fixture)


async def played(sim: TraffilogSimulator, fixture: Path) -> None:
    """Have the simulator push what was captured, and hear it on another socket."""
    async with peer_of(sim, origin=ORIGIN) as peer:
        await peer.watch(VEHICLE)
        playing = asyncio.create_task(sim.play(fixture, VEHICLE))
        push = await peer.until(lambda one: one.get("data_source") == "UNIT_PARAMETERS")
        assert push["data"][0]["inner_id"] == sim.upstream.vehicles[VEHICLE].serial
        assert await playing > 0
