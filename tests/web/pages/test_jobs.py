"""The pages of jobs: what needs a person first, what exactly will be done, and nothing secret."""

from __future__ import annotations

import re

import orjson
from sqlalchemy import Connection, select

from atalaia.desk.alerts.fold import Alerts
from atalaia.events.log import append_facts, read_after
from atalaia.events.model import Fact
from atalaia.store.job_tables import job_steps, jobs
from atalaia.store.tables import events
from atalaia.web.app import refresh_worlds
from tests.web.fleet import VEHICLE, learn, now_ms, snapshot
from tests.web.pages.test_screens import text
from tests.web.site import Site
from tests.web.work import put_frames, put_job, put_step

SECRET = "canary-4711-secret"
HTMX = {"HX-Request": "true"}
QUESTION = {
    "name": "can", "question": "Is the CAN good?", "choices": ["approve", "reject"], "shown": {"can0": True},
    "until_ms": None,
}  # fmt: skip


async def doubtful(site: Site, connection: str) -> str:
    job = await put_job(site, connection, state="in_doubt", said="Nothing of it was found upstream.")
    await put_step(site, job, "execute", state="in_doubt", sent_ms=5, evidence={"process_id": "10422606"})
    return job


async def toy(site: Site) -> str:
    return await site.connection("toy", url="http://toy", password=SECRET)


async def test_jobs_are_in_the_rail_only_where_a_connection_takes_them(site: Site):
    browser = await site.browser()
    assert 'href="/jobs"' not in await text(browser, "/")
    await toy(site)
    await refresh_worlds(site.app)
    assert 'href="/jobs"' in await text(browser, "/")


async def test_what_needs_a_person_stands_first_here_and_on_the_first_page(site: Site):
    connection = await toy(site)
    job = await doubtful(site, connection)
    await put_job(site, connection, state="waiting", asked=QUESTION)
    await put_job(site, connection, state="done")
    browser = await site.browser()
    for path in ("/jobs", "/"):
        page = await text(browser, path)
        assert "está em dúvida" in page
        assert "espera uma escolha" in page
        assert f'href="/jobs/{job}"' in page


async def test_a_job_in_doubt_offers_three_decisions_and_says_what_each_does(site: Site):
    job = await doubtful(site, await toy(site))
    page = await text(await site.browser(), f"/jobs/{job}")
    for said in ("Aconteceu", "Não aconteceu: executar de novo", "10422606", "terá acontecido duas vezes"):
        assert said in page, said
    viewer = await text(await site.browser("viewer", "bia@example.com"), f"/jobs/{job}")
    assert f'action="/jobs/{job}/decide"' not in viewer


async def test_a_decision_is_written_down_with_its_person(site: Site):
    job = await doubtful(site, await toy(site))
    browser = await site.browser()
    form = {"choice": "happened", "step": "execute", "result": '{"process_id": "10422606"}'}
    async with await browser.post(f"/jobs/{job}/decide", form) as answer:
        assert answer.status == 200
    step = await site.parts.store.read(lambda tx: tx.execute(select(job_steps)).one())
    assert (step.state, step.decided_by) == ("happened", "Ana")
    page = await text(browser, f"/jobs/{job}")
    assert "decidido por Ana" in page
    async with await browser.post(f"/jobs/{job}/decide", form) as answer:
        assert answer.status == 409


async def test_what_the_step_would_have_answered_is_filled_in_and_may_be_corrected(site: Site):
    job = await put_job(site, await toy(site), state="in_doubt")
    answer = {"process_id": "10422606", "already": False, "executed_ms": 5}
    evidence = {"process_id": "10422606"}
    await put_step(site, job, "execute", state="in_doubt", sent_ms=5, evidence=evidence, result=answer)
    browser = await site.browser()
    page = await text(browser, f"/jobs/{job}")
    assert re.search(r'name="seen.process_id" value="10422606"', page)
    assert "seen.already" not in page
    form = {
        "choice": "happened",
        "step": "execute",
        "seen.process_id": "10422611",
        "reason": "in the history",
    }
    async with await browser.post(f"/jobs/{job}/decide", form) as answered:
        assert answered.status == 200
    step = await site.parts.store.read(lambda tx: tx.execute(select(job_steps)).one())
    assert orjson.loads(step.result) == {**answer, "process_id": "10422611"}
    assert orjson.loads(step.evidence)["seen"] == {"process_id": "10422611"}
    decided = select(events.c.body).where(events.c.type == "job.decided")
    told = orjson.loads(await site.parts.store.read(lambda tx: tx.execute(decided).scalar_one()))
    assert told["evidence"] == {"process_id": "10422611"}
    assert told["answer"]["process_id"] == "10422611"
    assert told["reason"] == "in the history"
    assert "Visto no sistema: " in await text(browser, f"/jobs/{job}")


async def test_a_step_of_which_nothing_is_known_says_how_the_job_will_end(site: Site):
    page = await text(await site.browser(), f"/jobs/{await doubtful(site, await toy(site))}")
    assert "concluído, não confirmado" in page
    assert 'name="seen.process_id"' in page


async def test_a_choice_is_offered_in_words_and_taken(site: Site):
    job = await put_job(site, await toy(site), state="waiting", asked=QUESTION)
    await put_step(site, job, "ask:can", kind="read", state="started")
    browser = await site.browser()
    page = await text(browser, f"/jobs/{job}")
    assert "Aprovar" in page
    assert "Rejeitar" in page
    async with await browser.post(f"/jobs/{job}/answer", {"choice": "approve", "name": "can"}) as answer:
        assert answer.status == 200
    row = await site.parts.store.read(lambda tx: tx.execute(select(jobs)).one())
    assert row.state == "running"


async def test_frames_are_shown_without_secrets(site: Site):
    job = await put_job(site, await toy(site), state="running", progress={"percent": 42.5, "said": "half"})
    site.parts.redactor.learn(SECRET)
    await put_frames(
        site, job, ("sent", '{"session_token":"abcdef0123"}'), ("received", f"token is {SECRET}")
    )
    browser = await site.browser()
    for path in (f"/jobs/{job}", f"/jobs/{job}/frames", f"/jobs/{job}/frames?direction=sent"):
        page = await text(browser, path)
        assert "session_token" in page
        assert "abcdef0123" not in page
        assert SECRET not in page


async def test_a_dry_run_shows_the_frames_masked_and_sends_none(site: Site):
    connection = await toy(site)
    browser = await site.browser()
    filled = await text(browser, f"/jobs/new?kind=toy.paint&connection={connection}&vehicle_id=7")
    assert 'name="vehicle_id" value="7"' in filled
    form = {"kind": "toy.paint", "connection": connection, "vehicle_id": "2900108", "coats": "2", "key": "k1"}
    async with await browser.post("/jobs/submit", form, **HTMX) as answer:
        assert "Veja os frames de novo" in await answer.text()
    async with await browser.post("/jobs/plan", form, **HTMX) as answer:
        page = await answer.text()
    assert "2900108" in page
    assert SECRET not in page
    stamp = re.search(r'name="stamp" value="([^"]+)"', page)
    assert stamp is not None
    async with await browser.post("/jobs/submit", {**form, "stamp": stamp[1]}, **HTMX) as answer:
        first = answer.headers["HX-Redirect"]
    async with await browser.post("/jobs/submit", {**form, "stamp": stamp[1]}, **HTMX) as answer:
        assert answer.headers["HX-Redirect"] == first  # a second click asks for the same job
    assert "2900108" in await text(browser, first)


async def test_a_field_that_does_not_fit_is_named(site: Site):
    form = {"kind": "toy.paint", "connection": await toy(site), "vehicle_id": "", "coats": "9"}
    browser = await site.browser()
    async with await browser.post("/jobs/plan", form, **HTMX) as answer:
        page = await answer.text()
    assert 'data-field-error="coats"' in page
    assert 'data-field-error="vehicle_id"' in page


async def test_a_kind_without_a_dry_run_is_asked_for_at_once(site: Site):
    form = {"kind": "toy.wash", "connection": await toy(site), "vehicle_id": "7"}
    browser = await site.browser()
    async with await browser.post("/jobs/submit", form, **HTMX) as answer:
        assert answer.headers["HX-Redirect"].startswith("/jobs/")


async def test_a_failed_job_runs_again_with_a_reason(site: Site):
    job = await put_job(
        site, await toy(site), state="failed", reason="serial_in_use", said="The serial is in use."
    )
    browser = await site.browser()
    page = await text(browser, f"/jobs/{job}")
    assert "serial_in_use" in page
    async with await browser.post(f"/jobs/{job}/retry", {"reason": "the other unit is free"}) as answer:
        assert answer.status == 200
    assert "tentativa 2" in await text(browser, f"/jobs/{job}")


async def test_a_job_is_found_by_trace_and_by_vehicle(site: Site):
    job = await put_job(site, await toy(site), trace="1767373667936_b0eaa3")
    browser = await site.browser()
    for words in ("1767373667936_b0eaa3", "2900108", job):
        assert f'href="/jobs/{job}"' in await text(browser, f"/search?q={words}"), words
        assert f'href="/jobs/{job}"' in await text(browser, f"/jobs?q={words}"), words


async def test_the_list_is_filtered_by_group_and_paged(site: Site):
    connection = await toy(site)
    done = await put_job(site, connection, state="done")
    failed = await put_job(site, connection, state="failed")
    browser = await site.browser()
    page = await text(browser, "/jobs?state=failed&lang=pt_BR")
    assert f'id="job-{failed}"' in page
    assert f'id="job-{done}"' not in page
    for _ in range(51):
        await put_job(site, connection, state="done")
    page = await text(browser, "/jobs?clear=1")
    following = re.search(r'rel="next" href="([^"]+)"', page)
    assert following is not None
    older = await text(browser, following[1].replace("&amp;", "&"))
    listed = re.findall(r'<tr id="job-([^"]+)"', page + older)
    assert len(listed) == len(set(listed)) == 53


async def test_a_vehicle_is_called_by_its_plate_and_found_by_it(site: Site):
    connection = await toy(site)
    await learn(site, connection, snapshot(now_ms(site)))
    await put_job(site, connection, state="done", params={"vehicle_id": VEHICLE})
    await put_job(site, connection, state="done", params={"vehicle_id": "2900999"})
    browser = await site.browser()
    assert "ABC1D23" in await text(browser, "/jobs")
    found = await text(browser, "/jobs?q=ABC1")
    assert "ABC1D23" in found
    assert "2900999" not in found


async def test_the_list_is_exported_in_words_with_the_same_filter(site: Site):
    connection = await toy(site)
    await learn(site, connection, snapshot(now_ms(site)))
    first = await put_job(
        site, connection, state="done", params={"vehicle_id": VEHICLE}, started_ms=1_000, ended_ms=3_500
    )
    await put_job(site, connection, state="done", root=first, parent=first, by="", params={"serial": "77"})
    await put_job(site, connection, state="failed", said=f"Refused: {SECRET}")
    browser = await site.browser()
    done = (await text(browser, "/jobs/export?state=done")).splitlines()
    assert done[0].startswith("\ufeffEstado,Trabalho,Sobre")
    assert len(done) == 3
    assert all("Concluído" in line and "Ana" in line for line in done[1:])
    assert any("ABC1D23" in line and ",2.5," in line for line in done)
    failed = await text(browser, "/jobs/export?state=failed")
    assert SECRET not in failed
    async with browser.http.get("/jobs/export?format=xlsx") as answer:
        assert (await answer.read())[:2] == b"PK"


async def test_frames_stand_as_one_line_each_with_their_name(site: Site):
    job = await put_job(site, await toy(site), state="running")
    await put_frames(
        site, job,
        ("sent", '{"action":{"flow_id":"1","name":"vcls_check_opr"}}'),
        ("received", '{"response":{"properties":{"action_name":"refresh","data_source":"UNIT_MESSAGES"}}}'),
        ("sent", "action=VHCLS&PLATE=X"),
        ("received", '<root><DATASOURCE DATASOURCE="VHCLS" ACT="REFRESH"></DATASOURCE></root>'),
    )  # fmt: skip
    names = re.findall(r'class="frame-name">([^<]*)<', await text(await site.browser(), f"/jobs/{job}"))
    assert names == ["vcls_check_opr", "refresh · UNIT_MESSAGES", "VHCLS", "VHCLS"]


async def test_the_form_offers_the_names_behind_the_ids_that_it_asks_for(site: Site):
    connection = await toy(site)
    await learn(site, connection, snapshot(now_ms(site)))
    page = await text(await site.browser(), f"/jobs/new?kind=toy.paint&connection={connection}")
    assert f'<option value="{VEHICLE}" label="ABC1D23 · Transportes Aurora">' in page


async def test_an_alert_names_job_vehicle_and_step_as_people_do(site: Site):
    connection = await toy(site)
    await learn(site, connection, snapshot(now_ms(site)))
    job = await put_job(site, connection, state="in_doubt", params={"vehicle_id": VEHICLE})
    detail = {"evidence": {"step": "queue"}, "todo": "Look."}
    title = "The job toy.paint does not know whether “queue” happened."
    told = {"cause": f"job:{job}", "title": title, "detail": detail}

    def write(tx: Connection) -> None:
        append_facts(tx, site.parts.ambient, "jobs", [Fact("alert.raised", f"job:{job}", now_ms(site), told)])
        Alerts().apply(tx, [one for one in read_after(tx, 0, limit=1_000) if one.type in Alerts.types])

    await site.parts.store.write(write)
    page = await text(await site.browser(), "/alerts")
    assert "ABC1D23: ninguém sabe se “Preparar e executar” aconteceu." in page
    assert "toy.paint não sabe" not in page
