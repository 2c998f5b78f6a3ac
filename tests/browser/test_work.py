"""What people do with jobs and vehicles: decide, choose, look before sending, watch a process live."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from playwright.async_api import expect

from atalaia.clock import to_ms
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.jobs.queries import get_job
from atalaia.jobs.submit import Order
from tests.browser.house import House, until
from tests.browser.looking import Visitor


async def ask(house: House, kind: str, state: str) -> str:
    """Ask the fleet for a job; answers its id once it is in this state."""

    async def work() -> str:
        hub = house.hub
        assert hub is not None
        order = Order(
            f"fleet.{kind}", house.ids["fleet"], {"vehicle_id": "2900204", "plate": "XYZ9A01"}, by="Ana"
        )
        job = await hub.store.write(lambda tx: hub.orders.submit(tx, order))

        async def there() -> str | None:
            found = await hub.store.read(lambda tx: get_job(tx, job.id))
            return job.id if found and found.state == state else None

        return await until(there)

    return await asyncio.wrap_future(house.do(work()))


async def state(house: House, fact: Fact) -> None:
    async def work() -> None:
        hub = house.hub
        assert hub is not None
        connection = house.ids["fleet"]
        await hub.store.write(lambda tx: append_facts(tx, hub.ambient, "demo", [fact], connection=connection))

    await asyncio.wrap_future(house.do(work()))


async def test_a_doubt_is_decided_after_the_box_has_said_what_will_be_done(visitor: Visitor):
    job = await ask(visitor.house, "scheme_builder", "in_doubt")
    page = await visitor.open(f"/jobs/{job}")
    await page.get_by_role("button", name="Não aconteceu: executar de novo").click()
    box = page.locator("dialog[open]")
    await expect(box).to_contain_text("terá acontecido duas vezes")
    await box.get_by_role("button", name="Cancelar", exact=True).click()
    await page.get_by_role("button", name="Aconteceu", exact=True).click()
    await expect(page.locator("dialog[open]")).to_contain_text("conta como feita; não é enviada de novo")
    await page.locator("dialog[open]").get_by_role("button", name="Aconteceu").click()
    await expect(page.locator(".at-toast")).to_contain_text("Decidido: Aconteceu")
    await expect(page.locator(".truth-state")).to_contain_text("Concluído")
    await expect(page.locator(".job-steps")).to_contain_text("decidido por Ana Prado")


async def test_a_choice_is_made_where_the_evidence_stands(visitor: Visitor):
    job = await ask(visitor.house, "read_can", "waiting")
    page = await visitor.open("/")
    await page.locator("#needs a", has_text="XYZ9A01 espera uma escolha").first.click()
    await expect(page).to_have_url(re.compile(job))
    await expect(page.locator(".decide")).to_contain_text("137")
    await page.get_by_role("button", name="Aprovar").click()
    await page.locator("dialog[open]").get_by_role("button", name="Aprovar").click()
    await expect(page.locator(".truth-state")).to_contain_text("Concluído")


async def test_a_job_is_looked_at_before_it_is_asked_for(visitor: Visitor):
    page = await visitor.open("/vehicles/2900117")
    await page.get_by_text("Pedir um trabalho").click()
    await page.get_by_role("link", name="Gravar esquema").click()
    submit = page.get_by_role("button", name="Pedir", exact=True)
    await expect(page.locator("#f-vehicle_id")).to_have_value("2900117")
    await expect(submit).to_be_disabled()
    await page.get_by_role("button", name="Simular").click()
    await expect(page.locator(".planned")).to_contain_text("execute_action_opr")
    await page.locator("#f-scheme").fill("Outro")
    await expect(submit).to_be_disabled()
    await page.get_by_role("button", name="Simular").click()
    await submit.click()
    await expect(page).to_have_url(re.compile(r"/jobs/[0-9a-f-]{36}$"))
    await expect(page.locator(".truth-state")).to_contain_text("Em dúvida")


async def test_a_process_moves_on_the_board_without_a_reload(visitor: Visitor):
    hub = visitor.house.hub
    assert hub is not None
    now = to_ms(hub.ambient.clock.now())
    told: dict[str, Any] = {"vehicle_id": "2900195", "kind": "scheme_builder", "total": 460, "queued_ms": now}
    page = await visitor.open("/vehicles")
    await page.evaluate("window.sameDocument = true")
    card = page.locator("#process-10422700")
    await state(
        visitor.house,
        Fact("process.progressed", "10422700", now, {**told, "percent": 1.74, "acknowledged": 8}),
    )
    await expect(card).to_contain_text("8 de 460 comandos")
    later = {**told, "percent": 16.96, "acknowledged": 78, "last_command": "AE"}
    await state(visitor.house, Fact("process.progressed", "10422700", now + 1, later))
    await expect(card).to_contain_text("78 de 460 comandos")
    await expect(card).to_contain_text("AE")
    ended = {**later, "outcome": "unknown", "why": "Nothing was heard of the unit any more."}
    await state(visitor.house, Fact("process.ended", "10422700", now + 2, ended))
    await expect(card).to_contain_text("Nada mais foi ouvido da unidade.")
    assert await page.evaluate("window.sameDocument") is True


async def test_what_somebody_reads_or_decides_is_not_closed_by_news(visitor: Visitor):
    job = await ask(visitor.house, "read_can", "waiting")
    page = await visitor.open(f"/jobs/{job}")
    await page.get_by_text("Nomes no registro").click()
    await page.get_by_role("button", name="Cancelar o trabalho").click()
    await page.locator("dialog[open] input[name=reason]").fill("cliente pediu")
    hub = visitor.house.hub
    assert hub is not None
    now = to_ms(hub.ambient.clock.now())
    news = Fact("job.progressed", job, now, {"kind": "fleet.read_can", "percent": 1, "said": ""})
    async with page.expect_response(re.compile(r"part=job$")):
        await state(visitor.house, news)
    await expect(page.locator("dialog[open] input[name=reason]")).to_have_value("cliente pediu")
    await expect(page.locator("details[open] > summary", has_text="Nomes no registro")).to_be_visible()


async def test_two_snapshots_are_chosen_and_compared(visitor: Visitor):
    page = await visitor.open("/vehicles/2900108?view=snapshots")
    await page.locator("input[name=before]").nth(5).check()
    await page.get_by_role("button", name="Comparar").click()
    await expect(page.locator("#changes-table")).to_contain_text("Sys Param Fuel Level")
    await expect(page.locator("input[name=before]").nth(5)).to_be_checked()
