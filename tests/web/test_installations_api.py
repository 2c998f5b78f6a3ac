"""Installations over the API: the same acts as on screen, with the same refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import FormData
from sqlalchemy import insert

from atalaia.ambient import Ambient
from atalaia.connectors.traffilog import CONNECTOR
from atalaia.store.installation_tables import exports
from tests.web.installing import CLIENT, asking, furnish
from tests.web.site import Site, running

PATH = "/api/hub/installations"
JPEG = b"\xff\xd8\xff\xe0" + b"a photo"


@pytest.fixture
async def site(tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    async with running(tmp_path, ambient, more=[CONNECTOR]) as site:
        yield site


async def post(http: Any, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    async with http.post(path, json=body if body is not None else {}) as answer:
        return answer.status, await answer.json()


async def test_an_installation_is_asked_for_and_shown_with_its_chain(site: Site):
    connection = await furnish(site)
    http = await site.api("installations:read", "installations:write")
    form = {
        "service": "INSTALL", "connection": connection, "plate": "TST1A23", "client_id": CLIENT,
        "serial": "920003010", "asset_type": 7547, "label": "UP", "harness": "BACK",
    }  # fmt: skip
    status, made = await post(http, PATH, form)
    assert (status, made["state"], made["scheme"]) == (201, "HTML5_RUNNING", "5536")
    assert [job["kind"] for job in made["jobs"]] == ["traffilog.install"]
    async with http.get(f"{PATH}?service=INSTALL&limit=1") as answer:
        page = await answer.json()
    assert [one["id"] for one in page["items"]] == [made["id"]]
    async with http.get(f"{PATH}/{made['token']}") as answer:
        assert (await answer.json())["id"] == made["id"]


async def test_what_cannot_be_is_named_by_its_field(site: Site):
    connection = await furnish(site)
    http = await site.api()
    form = {"service": "INSTALL", "connection": connection, "plate": "TST1A23", "client_id": "310999"}
    status, problem = await post(http, PATH, form | {"label": "LEFT", "harness": "FRONT"})
    assert status == 422
    assert {"body.client_id", "body.serial", "body.asset_type", "body.harness"} <= {
        one["field"] for one in problem["errors"]
    }


async def test_a_check_is_approved_once_and_a_repeat_is_told(site: Site):
    root = await asking(site, await furnish(site))
    http = await site.api()
    async with http.get(f"{PATH}/{root}") as answer:
        shown = await answer.json()
    assert (shown["state"], shown["needs"]) == ("WAITING_APPROVAL", "approval")
    assert shown["summary"]["buses"] == {"can0": "ok", "can1": "failed"}
    assert shown["approvable_until"] is not None

    assert (await post(http, f"{PATH}/{root}/approve", {"override": True}))[0] == 422
    status, approved = await post(http, f"{PATH}/{root}/approve")
    assert (status, approved["approved_by"]) == (200, "test")
    status, refused = await post(http, f"{PATH}/{root}/approve")
    assert (status, [(one["field"], one["kind"]) for one in refused["errors"]]) == (
        409, [("state", "fluxo_concluido")],
    )  # fmt: skip
    assert (await post(http, f"{PATH}/nothing/approve"))[0] == 404


async def test_who_may_only_read_may_not_act(site: Site):
    root = await asking(site, await furnish(site))
    http = await site.api("installations:read")
    assert (await post(http, f"{PATH}/{root}/approve"))[0] == 403


def sent(content: bytes, **fields: str) -> FormData:
    """Answer a form with a photo."""
    form = FormData()
    form.add_field("photo", content, filename="photo.jpg")
    for name, value in fields.items():
        form.add_field(name, value)
    return form


async def test_photos_are_taken_listed_and_read_back(site: Site):
    root, http = await asking(site, await furnish(site)), await site.api()
    path = f"{PATH}/{root}/photos"
    async with http.post(path, data=sent(JPEG, kind="Placa", fleet="604")) as answer:
        assert answer.status == 201
        made = await answer.json()
    assert (made["name"].rpartition("/")[2], made["media"]) == ("Placa1.jpg", "image/jpeg")
    async with http.post(path, data=sent(JPEG, kind="Placa", fleet="604")) as answer:
        assert (await answer.json())["id"] == made["id"]
    async with http.get(path) as answer:
        assert [one["id"] for one in await answer.json()] == [made["id"]]
    async with http.get("/api/hub/photos?text=placa1") as answer:
        assert (await answer.json())["items"] == [made]
    async with http.get(f"/api/hub/photos/{made['id']}") as answer:
        assert await answer.json() == made
    async with http.get(f"/api/hub/photos/{made['id']}/file") as answer:
        assert (answer.headers["Content-Type"], await answer.read()) == ("image/jpeg", JPEG)


@pytest.mark.parametrize(
    ("content", "kind", "field", "remedy"),
    [
        (b"MZ program", "Placa", "body.photo", "Send JPEG"),
        (b"", "Placa", "body.photo", "content"),
        (JPEG, "Selfie", "body.kind", "Cabeamento"),
        (JPEG + bytes(15 * 1024 * 1024), "Placa", "body.photo", "15 MB"),
    ],
)
async def test_what_is_no_photo_is_refused_by_field_with_a_remedy_and_nothing_is_kept(
    site: Site, content: bytes, kind: str, field: str, remedy: str
):
    root, http = await asking(site, await furnish(site)), await site.api()
    async with http.post(f"{PATH}/{root}/photos", data=sent(content, kind=kind)) as answer:
        assert answer.status == 422
        [fault] = (await answer.json())["errors"]
    assert fault["field"] == field
    assert remedy in fault["remedy"]
    async with http.get(f"{PATH}/{root}/photos") as answer:
        assert await answer.json() == []


async def test_photos_need_an_installation_and_the_right_to_write(site: Site):
    root = await asking(site, await furnish(site))
    reader, writer = await site.api("installations:read"), await site.api()
    async with reader.post(f"{PATH}/{root}/photos", data=sent(JPEG, kind="Placa")) as answer:
        assert answer.status == 403
    async with writer.post(f"{PATH}/nothing/photos", data=sent(JPEG, kind="Placa")) as answer:
        assert answer.status == 404
    async with reader.get("/api/hub/photos/nothing/file") as answer:
        assert answer.status == 404


async def test_a_saved_record_shows_its_destinations_and_is_sent_again(site: Site):
    root, http = await asking(site, await furnish(site)), await site.api()
    row = {
        "installation": root, "destination": "file", "state": "failed", "attempts": 3, "error": "disk full",
        "place": "", "next_ms": 2_000_000_000_000, "done_ms": None, "changed_ms": 1,
    }  # fmt: skip
    async with http.get(f"{PATH}/{root}/exports") as answer:
        assert await answer.json() == []
    await site.parts.store.write(lambda tx: tx.execute(insert(exports).values(row)))
    async with http.get(f"{PATH}/{root}/exports") as answer:
        [shown] = await answer.json()
    assert (shown["destination"], shown["state"], shown["error"]) == ("file", "failed", "disk full")
    status, again = await post(http, f"{PATH}/{root}/exports/file/again")
    assert (status, again[0]["state"], again[0]["error"]) == (200, "pending", "")
    assert (await post(http, f"{PATH}/{root}/exports/nowhere/again"))[0] == 404
