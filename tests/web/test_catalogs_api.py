"""Catalogs over the API: read, changed with history, taken back, imported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import FormData

from atalaia.ambient import Ambient
from atalaia.connectors.traffilog import CONNECTOR
from tests.store.bases import on_both, url_of
from tests.web.site import Site, running

PATH = "/api/hub/catalogs"
SCHEMES = b"CLIENT_ID;CLIENT_DESCR;VEHICLE_SETTING_ID\n310206;Mar;5433\n310209;Rapido;x\n"
TECHNICIANS = b'{"technicians":[{"id":"tech_01","nick":"ANA EXEMPLO"}]}'


@pytest_asyncio.fixture
async def site(request: pytest.FixtureRequest, tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    async with running(tmp_path, ambient, url_of(request), more=[CONNECTOR]) as site:
        yield site


async def ask(http: Any, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with http.request(method, f"{PATH}{path}", json=body) as answer:
        return answer.status, await answer.json()


def client(number: str, name: str, **more: Any) -> dict[str, Any]:
    return {"value": {"id": number, "name": name}, **more}


def files(*contents: tuple[str, bytes]) -> FormData:
    form = FormData()
    for name, content in contents:
        form.add_field("files", content, filename=name)
    return form


@on_both("site")
async def test_an_entry_is_added_changed_removed_and_every_change_can_be_taken_back(site: Site):
    http = await site.api()
    status, made = await ask(http, "POST", "/clients/entry", client("310206", "Mar"))
    assert (status, made["key"], made["by"]) == (200, "310206", "test")
    assert (await ask(http, "POST", "/clients/entry", client("310206", "Marítima")))[0] == 200
    status, gone = await ask(http, "DELETE", "/clients/entry?key=310206")
    assert (status, gone["removed"]) == (200, 1)
    assert (await ask(http, "GET", "/clients/entry?key=310206"))[0] == 404

    _, page = await ask(http, "GET", "/clients/history")
    removed, changed, added = page["items"]
    assert [one["after"] and one["after"]["name"] for one in (removed, changed, added)] == [
        None, "Marítima", "Mar",
    ]  # fmt: skip
    assert (await ask(http, "POST", "/undo", {"change": added["id"]}))[0] == 409
    status, back = await ask(http, "POST", "/undo", {"batch": removed["batch"]})
    assert (status, back["new"]) == (200, 1)
    _, entry = await ask(http, "GET", "/clients/entry?key=310206")
    assert entry["name"] == "Marítima"
    assert (await ask(http, "POST", "/undo", {"change": 4711}))[0] == 404


async def test_an_entry_may_take_the_place_of_another(site: Site):
    http = await site.api()
    await ask(http, "POST", "/clients/entry", client("310206", "Mar"))
    await ask(http, "POST", "/clients/entry", client("310207", "Mar", instead_of="310206"))
    _, page = await ask(http, "GET", "/clients/entries?text=mar")
    assert [one["key"] for one in page["items"]] == ["310207"]
    assert (await ask(http, "POST", "/clients/entry", client("1", "A", instead_of="nothing")))[0] == 404
    assert (await ask(http, "GET", "/clients/entry?key=1"))[0] == 404


@pytest.mark.parametrize(
    ("catalog", "value", "field"),
    [
        ("clients", {"id": "no digits", "name": "Mar"}, "body.value.id"),
        ("clients", {"id": "310206"}, "body.value.name"),
        ("clients", {"id": "310206", "name": "Mar", "colour": "red"}, "body.value.colour"),
        ("mounts", {"label": "LEFT", "harness": "FRONT"}, "body.value.harness"),
    ],
)
async def test_what_does_not_fit_is_named_by_its_field(
    site: Site, catalog: str, value: dict[str, str], field: str
):
    status, told = await ask(await site.api(), "POST", f"/{catalog}/entry", {"value": value})
    assert status == 422
    assert [one["field"] for one in told["errors"]] == [field]


@on_both("site")
async def test_files_are_imported_and_what_cannot_be_read_of_them_is_told(site: Site):
    http = await site.api()
    both = (("schemes.txt", SCHEMES), ("technicians.json", TECHNICIANS), ("photo.jpg", b"\xff\xd8"))
    async with http.post(f"{PATH}/import?dry_run=true", data=files(*both)) as answer:
        assert answer.status == 200
        read = await answer.json()
    assert read["catalogs"]["technicians"]["new"] == 1
    assert all(one["entries"] == 0 for one in (await ask(http, "GET", ""))[1])
    async with http.post(f"{PATH}/import", data=files(*both)) as answer:
        told = await answer.json()
    assert told["catalogs"]["schemes"]["new"] == 1
    assert {(one["file"], one["kind"]) for one in told["problems"]} >= {("photo.jpg", "unreadable")}
    assert any(one["file"] == "schemes.txt" and one["remedy"] for one in told["problems"])
    _, page = await ask(http, "GET", "/technicians/entries")
    assert [one["value"] for one in page["items"]] == [{"id": "tech_01", "nick": "ANA EXEMPLO"}]

    batch = told["catalogs"]["schemes"]["batch"]
    assert batch == told["catalogs"]["technicians"]["batch"]
    _, back = await ask(http, "POST", "/undo", {"batch": batch})
    assert back["removed"] == 4  # two clients, a scheme, a technician
    counted = {one["catalog"]: one["entries"] for one in (await ask(http, "GET", ""))[1]}
    assert (counted["technicians"], counted["mounts"]) == (0, 23)


async def test_a_long_catalog_is_read_page_by_page(site: Site):
    http = await site.api()
    for number in range(5):
        await ask(http, "POST", "/clients/entry", client(f"31020{number}", f"C{number}"))
    _, first = await ask(http, "GET", "/clients/entries?limit=3")
    _, second = await ask(http, "GET", f"/clients/entries?limit=3&cursor={first['next']}")
    assert [one["name"] for one in first["items"] + second["items"]] == ["C0", "C1", "C2", "C3", "C4"]
    assert second["next"] is None


async def test_who_may_only_read_may_not_change(site: Site):
    http = await site.api("installations:read")
    assert (await ask(http, "GET", "/clients/entries"))[0] == 200
    assert (await ask(http, "POST", "/clients/entry", client("1", "A")))[0] == 403
    assert (await ask(http, "DELETE", "/clients/entry?key=1"))[0] == 403
    assert (await ask(http, "GET", "/nothing/entries"))[0] == 404
