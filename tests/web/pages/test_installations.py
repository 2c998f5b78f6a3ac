"""Installations and catalogs on screen: what a technician fills in, what may be approved, what is refused."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import delete, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connectors.traffilog import CONNECTOR
from atalaia.desk.catalogs.catalogs import get_entry, history
from atalaia.desk.exports.columns import COLUMNS
from atalaia.desk.installations import queries
from atalaia.events.model import Fact
from atalaia.store.job_tables import jobs
from tests.web.fleet import learn, snapshot
from tests.web.installing import CLIENT, VEHICLE, asking, furnish, installed, leave
from tests.web.pages.test_screens import text
from tests.web.site import Browser, Site, running
from tests.web.work import put_job

JPEG = b"\xff\xd8\xff\xe0" + b"\x00" * 64


@pytest.fixture
async def site(tmp_path: Path, ambient: Ambient) -> AsyncIterator[Site]:
    async with running(tmp_path, ambient, more=[CONNECTOR]) as site:
        yield site


async def said(browser: Browser, path: str, data: dict[str, str]) -> str:
    answer = await browser.post(path, data)
    found = await answer.text()
    assert answer.status == 200, found[:500]
    return found


async def upload(browser: Browser, path: str, name: str, content: bytes, **fields: str) -> tuple[int, str]:
    form = aiohttp.FormData()
    form.add_field("csrf", await browser.csrf())
    for key, value in fields.items():
        form.add_field(key, value)
    form.add_field(name, content, filename="IMG_0001.HEIC", content_type="application/octet-stream")
    async with browser.http.post(path, data=form) as answer:
        return answer.status, await answer.text()


async def test_without_a_connection_the_pages_teach_what_is_missing(site: Site):
    browser = await site.browser()
    assert "Nenhuma instalação ainda" in await text(browser, "/installations")
    assert "Nenhuma conexão de telemetria" in await text(browser, "/installations/new")
    assert "Nada neste catálogo ainda" in await text(browser, "/catalogs/clients")


async def test_a_technician_chooses_a_service_fills_in_and_starts_it_once(site: Site):
    connection = await furnish(site)
    browser = await site.browser("agent")
    assert "Manutenção com troca" in await text(browser, "/installations/new")
    form = await text(browser, "/installations/new?service=INSTALL")
    for word in ("Jequitibá Transportes", "7547 Iveco Stralis", "ANA EXEMPLO", "CIMA | TRASEIRA"):
        assert word in form, word
    assert "LEFT|FRONT" not in form

    given = {
        "service": "INSTALL", "connection": connection, "key": "k1", "client_id": CLIENT, "plate": "TST1A23",
        "serial": "920003010", "model_text": "7547 Iveco Stralis", "mount": "UP|BACK",
        "technician_id": "tech_01",
    }  # fmt: skip
    page = await said(browser, "/installations/new", given)
    await said(browser, "/installations/new", given)

    assert "Portal em andamento" in page
    assert "Instalação de TST1A23 em andamento" in page
    rows = await site.parts.store.read(lambda tx: queries.list_installations(tx, queries.Wanted()))
    assert len(rows) == 1
    one = rows[0].installation
    assert (one.scheme, one.technician, one.label, one.harness) == ("5536", "ANA EXEMPLO", "UP", "BACK")
    assert one.form["vehicle"]["manufacturer"] == "Iveco"
    assert rows[0].chain[0].params["chain"]["record"]["plate_real"] == "TST1A23"


async def test_a_form_that_cannot_be_keeps_what_was_typed_and_says_where(site: Site):
    connection = await furnish(site)
    browser = await site.browser()
    given = {
        "service": "INSTALL", "connection": connection, "client_id": "310206", "plate": "TST1A23",
        "serial": "12", "model_text": "7547 Iveco Stralis",
    }  # fmt: skip
    page = await said(browser, "/installations/new", given)
    assert "Só dígitos" in page
    page = await said(browser, "/installations/new", given | {"serial": "920003010"})
    assert "VEHICLE_SETTING_NOT_CONFIGURED" in page
    assert 'value="TST1A23"' in page
    rows = await site.parts.store.read(lambda tx: queries.list_installations(tx, queries.Wanted()))
    assert rows == []


async def test_a_check_is_shown_with_its_buses_and_values_and_approved_by_name(site: Site):
    root = await asking(site, await furnish(site))
    browser = await site.browser()
    page = await text(browser, f"/installations/{root}")
    for word in (
        "Aguarda aprovação",
        "CAN0: funciona",
        "CAN1: nunca funcionou",
        "Battery",
        "temperatura do óleo",
    ):
        assert word in page, word

    page = await said(browser, f"/installations/{root}/approve", {})

    assert "A verificação CAN foi aprovada." in page
    seen = await site.parts.store.read(lambda tx: queries.get(tx, root))
    assert seen is not None
    assert (seen.installation.approved_by, seen.installation.override) == ("Ana", False)
    assert "já foi decidido" in await said(browser, f"/installations/{root}/approve", {})


async def test_a_check_that_failed_offers_to_go_on_with_a_reason(site: Site):
    root = await asking(site, await furnish(site))
    failed = {"state": "failed", "reason": "can_sem_parametros", "said": "Not a single parameter."}
    await site.parts.store.write(lambda tx: tx.execute(delete(jobs).where(jobs.c.step == "approval")))
    await site.parts.store.write(
        lambda tx: tx.execute(update(jobs).where(jobs.c.step == "can").values(failed))
    )
    browser = await site.browser()
    page = await text(browser, f"/installations/{root}")
    assert "mesmo com a verificação falha" in page
    assert "verifique de novo" in await said(browser, f"/installations/{root}/approve", {})
    page = await said(browser, f"/installations/{root}/override", {"reason": "A trailer"})
    assert "aprovada contra a verificação" in page
    assert "A trailer" in page


async def test_approving_against_the_check_needs_a_reason(site: Site):
    root = await asking(site, await furnish(site))
    browser = await site.browser()
    page = await said(browser, f"/installations/{root}/override", {"reason": "  "})
    assert "exige um motivo" in page
    page = await said(browser, f"/installations/{root}/override", {"reason": "No second bus"})
    assert "aprovada contra a verificação" in page
    assert "No second bus" in page


async def test_nobody_who_only_looks_may_act(site: Site):
    root = await asking(site, await furnish(site))
    browser = await site.browser("viewer")
    assert f"/installations/{root}/approve" not in await text(browser, f"/installations/{root}")
    assert (await browser.post(f"/installations/{root}/approve")).status == 403
    assert (await browser.post("/catalogs/clients/put", {"id": "1", "name": "X"})).status == 403
    await text(browser, "/installations/new", 403)


async def test_what_failed_says_why_and_offers_to_run_again(site: Site):
    root = await installed(site, await furnish(site))
    await leave(site, root, "failed", reason="serial_in_use", said="The unit 1 is in use by TST2L74.")
    browser = await site.browser()
    page = await text(browser, f"/installations/{root}")
    assert "serial_in_use" in page
    assert "Portal falhou" in page
    assert "rodando de novo" in await said(browser, f"/installations/{root}/retry", {"reason": "freed it"})


async def test_the_list_filters_and_exports_eighteen_columns(site: Site):
    connection = await furnish(site)
    await asking(site, connection)
    await installed(site, connection, plate="TST9Z99")
    browser = await site.browser()
    page = await text(browser, "/installations?state=person")
    assert "TST1A23" in page
    assert "TST9Z99" not in page
    async with browser.http.get("/installations/export?q=tst9&format=csv") as answer:
        rows = list(csv.reader(io.StringIO((await answer.read()).decode("utf-8-sig"))))
    assert tuple(rows[0]) == COLUMNS
    assert [row[2] for row in rows[1:]] == ["TST9Z99"]
    assert rows[1][15:17] == ["CIMA", "TRASEIRA"]
    async with browser.http.get("/installations/export?format=xlsx") as answer:
        assert (await answer.read())[:2] == b"PK"


async def test_photos_are_kept_by_content_and_named_as_before(site: Site):
    root = await asking(site, await furnish(site))
    browser = await site.browser("agent")
    path = f"/installations/{root}/photos"
    for _ in range(2):
        status, page = await upload(browser, path, "photo", JPEG, kind="Placa")
        assert status == 200
    assert "Placa1.jpg" in page
    assert "Placa2.jpg" not in page
    _, page = await upload(browser, path, "photo", JPEG + b"2", kind="Placa")
    assert "Placa2.jpg" in page
    _, page = await upload(browser, path, "photo", b"MZ program", kind="Placa")
    assert "não é uma foto" in page


async def test_a_photo_beyond_15_mb_is_refused_and_nothing_is_kept(site: Site):
    root = await asking(site, await furnish(site))
    browser = await site.browser()
    status, page = await upload(
        browser, f"/installations/{root}/photos", "photo", JPEG + bytes(15 * 1024 * 1024), kind="Placa"
    )
    assert status == 200
    assert "no máximo 15 MB" in page
    status, _ = await upload(
        browser, f"/installations/{root}/photos", "photo", JPEG + bytes(65 * 1024 * 1024), kind="Placa"
    )
    assert status == 413
    assert "Nenhuma foto ainda" in await text(browser, f"/installations/{root}")


async def test_a_catalog_is_edited_with_history_and_taken_back(site: Site):
    await furnish(site)
    browser = await site.browser()
    page = await said(
        browser, "/catalogs/technicians/put", {"id": "tech_01", "nick": "ANA MARIA", "old": "tech_01"}
    )
    assert "ANA EXEMPLO → ANA MARIA" in page
    [change, *_] = await site.parts.store.read(lambda tx: history(tx, "technicians", "tech_01"))
    assert (change.by, change.source) == ("Ana", "screen")

    await said(browser, "/catalogs/technicians/undo", {"change": str(change.id)})

    entry = await site.parts.store.read(lambda tx: get_entry(tx, "technicians", "tech_01"))
    assert entry is not None
    assert entry.value["nick"] == "ANA EXEMPLO"
    page = await said(browser, "/catalogs/technicians/undo", {"change": str(change.id)})
    assert "Houve uma alteração depois" in page


async def test_models_are_read_from_the_portal_by_a_job_and_taken_over_by_a_person(site: Site):
    connection = await furnish(site)
    browser = await site.browser()
    assert "leva minutos" in await said(browser, "/catalogs/models/sync", {})
    found = {"asset_types": [{"id": 4016, "manufacturer": "Mercedes", "model": "ETT", "sub_model": ""}]}
    now = int(site.parts.ambient.clock.now().timestamp() * 1000)
    job = await put_job(
        site, connection, kind="traffilog.sync_asset_types", state="done", created_ms=now + 1,
        result={"ok": True, **found, "by_client": {CLIENT: [4016]}},
    )  # fmt: skip

    page = await said(browser, "/catalogs/models/take", {"job": job})

    assert "Mercedes ETT" in page
    assert (await browser.post("/catalogs/models/take", {"job": "nothing"})).status == 404


async def test_left_with_front_is_refused_in_the_catalog_of_mounts(site: Site):
    await furnish(site)
    browser = await site.browser()
    page = await said(browser, "/catalogs/mounts/put", {"label": "LEFT", "harness": "FRONT"})
    assert "ESQUERDA com FRENTE não é enviado" in page
    assert await site.parts.store.read(lambda tx: get_entry(tx, "mounts", "LEFT|FRONT")) is None


async def test_files_are_imported_on_screen_and_what_is_wrong_in_them_is_told(site: Site):
    await furnish(site)
    browser = await site.browser()
    lines = "CLIENT_ID;CLIENT_DESCR;VEHICLE_SETTING_ID\n310306;ALFA LOGÍSTICA;5506\nabc;BROKEN;1\n"
    status, page = await upload(browser, "/catalogs/import", "files", lines.encode())
    assert status == 200
    assert "ALFA LOGÍSTICA" in page
    assert "linha 3, CLIENT_ID" in page
    entry = await site.parts.store.read(lambda tx: get_entry(tx, "schemes", "310306:text:"))
    assert entry is not None
    assert entry.value["scheme_id"] == "5506"


async def test_what_the_portal_shows_of_the_scheme_is_on_both_pages_and_in_the_history(site: Site):
    connection = await furnish(site)
    root = await asking(site, connection)
    now = to_ms(site.parts.ambient.clock.now())
    told = {
        "service": "INSTALL", "plate": "TST1A23", "job": "j1", "by": "schedule", "vehicle_id": VEHICLE,
        "verdict": "mismatch", "assigned": "5411", "meant": "5536", "resent": "j2", "why": "",
    }  # fmt: skip
    fact = Fact("installation.scheme_verified", root, now, told)
    await learn(site, connection, fact, snapshot(now))
    browser = await site.browser("agent")

    page = await text(browser, f"/installations/{root}")
    assert page.count("Esquema no portal: 5411, não 5536") == 2
    assert 'href="/jobs/j2"' in page
    vehicle = await text(browser, f"/vehicles/{VEHICLE}?connection={connection}")
    assert "Esquema no portal: 5411, não 5536" in vehicle
