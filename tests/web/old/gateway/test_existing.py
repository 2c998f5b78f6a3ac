"""An existing hub and an existing gateway are pointed at a running Atalaia, and go on working."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from atalaia.connections.queries import get_connection
from simulators.wppconnect.models import Media
from tests.journeys.waiting import until
from tests.store.bases import on_both, url_of
from tests.web.old.gateway.whole import FRIEND, OTHER, SECRET, SESSION, Whole, simulator, whole

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(64)).decode()
PDF = base64.b64encode(b"%PDF-1.7\n" + bytes(64)).decode()
OGG = base64.b64encode(b"OggS" + bytes(64)).decode()


class OldHub:
    """The existing hub's ways with its gateway, as the contract tells them (§1): what it asks and reads."""

    def __init__(self, atalaia: Whole) -> None:
        self._ask = atalaia.ask

    async def channels(self) -> dict[str, str]:
        status, answer = await self._ask("GET", "/api/channels", headers={"X-Request-Id": "list-1"})
        assert status == 200 and answer["success"] and answer["total"] == len(answer["channels"])
        return {one["id"]: one["status"].lower() for one in answer["channels"]}

    async def is_active(self, name: str) -> bool:
        status, answer = await self._ask("GET", f"/api/channels/{name}")
        return status == 200 and answer["channel"]["status"].lower() == "connected"

    async def code(self, name: str) -> tuple[str | None, str]:
        """Answer the picture to scan, or why there is none; never goes on to delete."""
        status, answer = await self._ask("GET", f"/api/channels/{name}/qr")
        assert status == 200 and answer["success"], answer
        return answer["qr"], answer["status"]

    async def send(self, **body: Any) -> tuple[str, str]:
        """Answer the message's id and the correlation."""
        status, answer = await self._ask("POST", "/api/messages", json=body)
        assert status == 200 and answer["success"], answer
        return answer.get("messageId", ""), answer["correlationId"]


@pytest_asyncio.fixture
async def atalaia(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Whole]:
    """A hub with a session that is proven to live."""
    url = url_of(request)
    async with simulator() as sim, whole(tmp_path, sim, database_url=url) as atalaia:
        await atalaia.connect()
        await until(lambda: is_proven(atalaia), "the session is proven")
        yield atalaia


async def is_proven(atalaia: Whole) -> bool:
    return await atalaia.status("canalum") == "connected"


async def test_an_existing_hub_finds_its_channels_and_no_code_while_none_is_wanted(atalaia: Whole):
    hub = OldHub(atalaia)
    assert await hub.channels() == {SESSION: "connected"}
    assert await hub.is_active("canalum") and await hub.is_active("Canal%20Um")
    assert await hub.code("canalum") == (None, "CONNECTED")
    assert await atalaia.ask("GET", "/api/channels/nobody") == (
        404,
        {"success": False, "error": "Channel not found", "error_code": "CHANNEL_NOT_FOUND"},
    )


async def test_an_existing_hub_shows_the_code_when_the_phone_has_dropped_the_session(atalaia: Whole):
    hub = OldHub(atalaia)
    await atalaia.sim.faults.start("device_removed", session=SESSION)

    async def code() -> tuple[str | None, str]:
        found, status = await hub.code("canalum")
        return (found, status) if found else ("", "")

    async def picture() -> str:
        return (await code())[0] or ""

    found = await until(picture, "a code is shown")
    assert base64.b64decode(found.partition("base64,")[2] or found).startswith(b"\x89PNG")
    atalaia.sim.scan(SESSION)
    await until(lambda: is_proven(atalaia), "the session is proven again")
    assert await hub.code("canalum") == (None, "CONNECTED")


@on_both("atalaia")
async def test_an_existing_hub_sends_each_kind_of_message_and_equal_texts_are_two(atalaia: Whole):
    hub = OldHub(atalaia)
    to = {"channel": "canalum", "to": FRIEND}
    first, trace = await hub.send(**to, text="bom dia", metadata={"tenant": 7})
    second, other = await hub.send(**to, text="bom dia")
    assert first.startswith("true_") and second.startswith("true_") and first != second and trace != other
    image, _ = await hub.send(**to, type="image", base64=PNG, caption="foto", text="")
    document, _ = await hub.send(**to, type="document", fileName="conta.pdf", base64=PDF, caption="", text="")
    voice, _ = await hub.send(**to, type="audio", base64Ptt=OGG, audio_mime="audio/ogg", is_voice=True)
    assert len({first, second, image, document, voice}) == 5
    rows = [row for row in atalaia.sim.ledger(SESSION)["messages"] if row["from_me"]]
    assert [row["kind"] for row in rows] == ["chat", "chat", "image", "document", "ptt"]
    assert [row["text"] for row in rows[:2]] == ["bom dia", "bom dia"]


async def test_a_file_that_is_named_by_its_address_is_fetched_and_sent(atalaia: Whole):
    async with files() as url:
        image, _ = await OldHub(atalaia).send(channel="canalum", to=FRIEND, type="image", url=f"{url}/a.png")
        status, answer = await atalaia.ask(
            "POST", "/api/messages",
            json={"channel": "canalum", "to": FRIEND, "type": "image", "url": f"{url}/gone.png"},
        )  # fmt: skip
    assert (status, answer["error_code"]) == (400, "MISSING_MEDIA") and "HTTP 404" in answer["error"]
    [row] = [row for row in atalaia.sim.ledger(SESSION)["messages"] if row["from_me"]]
    assert image and (row["kind"], row["media"]["mimetype"]) == ("image", "image/png")


@asynccontextmanager
async def files() -> AsyncIterator[str]:
    """Serve one picture; answer the server's address."""

    async def give(_: web.Request) -> web.Response:
        return web.Response(body=base64.b64decode(PNG), content_type="image/png")

    app = web.Application()
    app.router.add_get("/a.png", give)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_request_that_is_repeated_under_its_id_is_one_message(atalaia: Whole):
    body = {"channel": "canalum", "to": FRIEND, "text": "uma vez"}
    headers = {"X-Request-Id": "order-7"}
    one, again = [await atalaia.ask("POST", "/api/messages", json=body, headers=headers) for _ in range(2)]
    assert one[0] == again[0] == 200 and one[1]["messageId"] == again[1]["messageId"]
    assert atalaia.texts() == ["uma vez"]


async def test_what_the_gateway_refused_is_refused_in_its_words(atalaia: Whole):
    async def told(**body: Any) -> tuple[int, str]:
        status, answer = await atalaia.ask("POST", "/api/messages", json=body)
        assert answer["success"] is False and answer["error"]
        return status, answer.get("error_code", "")

    to = {"channel": "canalum", "to": FRIEND}
    large = base64.b64encode(bytes(16 * 1024 * 1024 + 1)).decode()
    assert await told(channel="nobody", to=FRIEND, text="x") == (404, "CHANNEL_NOT_FOUND")
    assert await told(**to, type="image", text="") == (400, "MISSING_MEDIA")
    assert await told(**to, type="audio", base64Ptt=large) == (400, "AUDIO_TOO_LARGE")
    assert await atalaia.ask("GET", "/api/channels/canalum/other") == (
        404, {"success": False, "error": "Route not found"},
    )  # fmt: skip
    wrong = {"X-Gateway-Secret": "wrong"}
    assert (await atalaia.ask("GET", "/api/channels", headers=wrong))[0] == 403
    _, known = await atalaia.ask("POST", "/api/channels", json={"channel": "canalum"})
    assert known["success"] and known["qr_required"] is False
    assert (await atalaia.ask("POST", "/api/channels", json={"channel": "new"}))[0] == 403
    assert atalaia.texts() == []


async def test_an_existing_hub_fetches_attachments_and_the_number_behind_a_hidden_identity(atalaia: Whole):
    media = Media("image/png", "", 2_000, 3)
    placed = atalaia.sim.phone(SESSION).receive(f"{FRIEND}@c.us", "foto", kind="image", media=media)
    await until(lambda: atalaia.heard("message.received"), "the message is heard")
    serialized = f"false_{FRIEND}@c.us_{placed.key}"
    status, answer = await atalaia.ask("GET", f"/api/media/canalum/{serialized}")
    assert (
        status == 200
        and answer["mime_type"].startswith("image/")
        and base64.b64decode(answer["media_base64"])
    )
    status, answer = await atalaia.ask("GET", f"/api/canalum/contact/pn-lid/{FRIEND}@c.us")
    assert status == 200 and answer["phoneNumber"]["_serialized"] == f"{FRIEND}@c.us"


async def test_an_existing_gateway_delivers_to_the_old_address_what_was_lost_before_by_its_retries(
    tmp_path: Path,
):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with simulator() as sim:
        sim.gateway.relay.subscribe(f"http://127.0.0.1:{port}/api/whatsapp/webhook", SECRET)
        await start_by_the_gateway(sim)
        for number in range(5):  # nobody listens there yet
            sim.phone(OTHER).receive(f"{FRIEND}@c.us", f"Mensagem {number}")
        await until(
            lambda: any(one.statuses for one in sim.gateway.relay.deliveries), "the gateway has tried"
        )
        async with whole(tmp_path, sim, port) as atalaia:  # the session is not known yet: 404, and again
            await until(
                lambda: any(404 in one.statuses for one in sim.gateway.relay.deliveries), "it is refused"
            )
            connection = await atalaia.connect(OTHER, gateway_url=sim.gateway_url, gateway_secret=SECRET)
            await until(
                lambda: all(one.delivered for one in sim.gateway.relay.deliveries), "all is delivered"
            )
            await until(lambda: count_is(atalaia, 5), "all is understood")
            assert len(await atalaia.heard("message.received")) == 5
            assert not any(one.lost for one in sim.gateway.relay.deliveries)
            seen = await atalaia.hub.store.read(lambda tx: get_connection(tx, connection))
            assert seen is not None and seen.connector == "wppconnect"


async def count_is(atalaia: Whole, number: int) -> bool:
    return len(await atalaia.heard("message.received")) >= number


async def start_by_the_gateway(sim: Any) -> None:
    """Start a session through the gateway, so that its webhooks go there."""
    import aiohttp

    headers = {"X-Gateway-Secret": SECRET}
    async with aiohttp.ClientSession(sim.gateway_url, headers=headers) as http:
        for _ in range(100):
            async with http.get(f"/api/channels/{OTHER}") as answer:
                if (await answer.json()).get("channel", {}).get("status") == "connected":
                    return
            async with http.get(f"/api/channels/{OTHER}/qr") as answer:
                await answer.read()
            await asyncio.sleep(0.05)
    raise AssertionError("the session did not start")
