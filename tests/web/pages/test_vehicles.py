"""The pages of vehicles: what is known, how old it is, what runs, what changed."""

from __future__ import annotations

from atalaia.events.model import Fact
from atalaia.web.pages.vehicle import spark_of
from tests.web.fleet import PROCESS, VEHICLE, learn, now_ms, running, snapshot
from tests.web.pages.test_screens import text
from tests.web.site import Site

MINUTE = 60_000


async def fleet(site: Site) -> str:
    """A vehicle that transmits, whose Scheme Builder runs."""
    connection = await site.connection("toy", url="http://toy", password="canary-4711")
    now = now_ms(site)
    connected = Fact(
        "vehicle.connection_changed", VEHICLE, now, {"connected": True, "evidence": {"push": "UNIT_MESSAGES"}}
    )
    await learn(site, connection, snapshot(now - 5 * MINUTE, battery=24.1, can0=False), snapshot(now))
    await learn(site, connection, connected, running(now))
    return connection


async def test_the_board_shows_what_runs_with_its_last_command_and_sign(site: Site):
    await fleet(site)
    page = await text(await site.browser(), "/vehicles")
    for said in (
        "ABC1D23",
        "Transmitindo",
        "(o2w,24,1502FEFB0F06)",
        "78 de 460 comandos",
        "Transportes Aurora",
    ):
        assert said in page, said


async def test_what_nobody_heard_of_for_long_is_not_known_any_more(site: Site):
    connection = await site.connection("toy", url="http://toy")
    old = now_ms(site) - 3_600_000
    await learn(site, connection, Fact("vehicle.connection_changed", VEHICLE, old, {"connected": True}))
    page = await text(await site.browser(), "/vehicles")
    assert "Desconhecid" in page
    assert '<span class="word">Transmitindo</span>' not in page


async def test_a_vehicle_tells_the_age_of_each_part_and_its_modules_by_name(site: Site):
    connection = await fleet(site)
    page = await text(await site.browser(), f"/vehicles/{VEHICLE}?connection={connection}")
    for said in (
        "CAN1",
        "Nunca funcionou",
        "CAN_NO_ACTIVE_ERROR_CODE",
        "incompleta",
        "não roda o esquema atribuído",
    ):
        assert said in page, said
    assert PROCESS in page
    assert f"/events?family=heard&amp;connection={connection}&amp;key={VEHICLE}" in page


async def test_parameters_show_value_unit_raw_and_only_one_id_per_quantity(site: Site):
    await fleet(site)
    browser = await site.browser()
    page = await text(browser, f"/vehicles/{VEHICLE}?view=parameters")
    assert "27,4" in page
    assert "temperatura do óleo" in page
    assert "00003039" in page
    assert 'id="value-00000032"' not in page
    assert 'class="spark' in await text(browser, f"/vehicles/{VEHICLE}?view=parameters&range=1h")
    every = await text(browser, f"/vehicles/{VEHICLE}?view=parameters&all=1&parameter=00002712")
    assert 'id="value-00000032"' in every
    assert 'id="parameter"' in every


async def test_two_snapshots_are_compared_and_ages_are_no_difference(site: Site):
    await fleet(site)
    page = await text(await site.browser(), f"/vehicles/{VEHICLE}?view=snapshots")
    for said in ("24,1\u00a0V", "27,4\u00a0V", "CAN CAN0", "Não funciona agora", "2 diferenças"):
        assert said in page, said


async def test_the_vehicle_s_jobs_are_offered_with_their_forms_filled_in(site: Site):
    connection = await fleet(site)
    page = await text(await site.browser(), f"/vehicles/{VEHICLE}")
    assert f"/jobs/new?kind=toy.paint&amp;connection={connection}&amp;vehicle_id={VEHICLE}" in page
    viewer = await text(await site.browser("viewer", "bia@example.com"), f"/vehicles/{VEHICLE}")
    assert "/jobs/new" not in viewer


async def test_an_empty_board_teaches(site: Site):
    page = await text(await site.browser(), "/vehicles")
    assert "Nenhum veículo ainda" in page
    await text(await site.browser("viewer", "bia@example.com"), "/vehicles/7", 404)


async def test_an_upstream_s_markup_is_shown_as_text(site: Site):
    connection = await site.connection("toy", url="http://toy")
    now = now_ms(site)
    bad = "<script>alert(1)</script>"
    await learn(
        site, connection, running(now, last_command=bad, why=bad), snapshot(now, header={"license_nmbr": bad})
    )
    browser = await site.browser()
    for path in ("/vehicles", f"/vehicles/{VEHICLE}", f"/vehicles/{VEHICLE}?view=snapshots"):
        assert bad not in await text(browser, path)


def test_a_sparkline_holds_a_value_until_the_next_one_is_seen():
    line = spark_of([(0, 1.0), (500, 3.0)], 0, 48_00)
    assert line[:5] == [1.0, 1.0, 1.0, 1.0, 1.0]
    assert line[5:] == [3.0] * 43
    assert spark_of([(4_000, 2.0)], 0, 48_00)[:3] == [None, None, None]


async def test_a_process_that_nobody_follows_any_more_does_not_run_for_ever(site: Site):
    connection = await site.connection("toy", url="http://toy")
    now = now_ms(site)
    old = now - 20 * MINUTE
    await learn(site, connection, snapshot(now), running(old, queued_ms=old - MINUTE, heard_ms=old))
    page = await text(await site.browser(), "/vehicles")
    card = page[page.index(f'id="process-{PROCESS}"') :]

    assert '<span class="word">Em silêncio</span>' in card[:600], card[:600]
