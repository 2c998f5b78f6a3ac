"""Installations over the API: the same acts as on screen, with the same refusals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from atalaia.ambient import Ambient
from atalaia.connectors.traffilog import CONNECTOR
from tests.web.installing import CLIENT, asking, furnish
from tests.web.site import Site, running

PATH = "/api/hub/installations"


@pytest.fixture
async def site(tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    async with running(tmp_path, ambient, more=[CONNECTOR]) as site:
        yield site


async def post(http: Any, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
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
    assert (await post(http, f"{PATH}/{root}/approve"))[0] == 409
    assert (await post(http, f"{PATH}/nothing/approve"))[0] == 404


async def test_who_may_only_read_may_not_act(site: Site):
    root = await asking(site, await furnish(site))
    http = await site.api("installations:read")
    assert (await post(http, f"{PATH}/{root}/approve"))[0] == 403
