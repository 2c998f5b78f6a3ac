"""The sweep over finished installations: which are due, how often, and that it never touches the others."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, insert

from atalaia.clock import to_ms
from atalaia.connectors.traffilog import CONNECTOR
from atalaia.connectors.traffilog.portal import sweeping
from atalaia.connectors.traffilog.portal.params import SWEEP_ROWS_MAX, SweepRow
from atalaia.connectors.traffilog.portal.verify import judge
from atalaia.desk.alerts.fold import Alerts
from atalaia.events.log import append_facts, read_after
from atalaia.events.model import Fact
from atalaia.jobs.rows import Job
from atalaia.jobs.schedule import Schedules
from atalaia.store.installation_tables import installations
from tests.connectors.traffilog.folding import CONNECTION as FLEET
from tests.connectors.traffilog.folding import Fold, told_again
from tests.connectors.traffilog.portal.bench import USED, USED_SERIAL, Bench
from tests.jobs.yard import CONNECTION

MINUTE_S, HOUR_S = 60, 3600
ASSIGNED, OTHER = "9000", "5411"  # what the simulated portal shows at USED, and what it does not


async def put(bench: Bench, root: str, **more: Any) -> None:
    """Put down an installation that was saved just now."""
    now = to_ms(bench.clock.now())
    row: dict[str, Any] = {
        "root": root, "token": f"tok_{root}", "connection": CONNECTION, "service": "INSTALL",
        "client": "310209", "client_name": "Rápido Exemplo", "plate": "TST2L74", "serial": USED_SERIAL,
        "technician": "ANA", "vehicle": USED, "label": "", "harness": "", "scheme": ASSIGNED, "comment": "",
        "form": "{}", "state": "COMPLETED", "approved_by": "", "override": False, "override_reason": "",
        "record": "", "saved_ms": now, "by": "ana", "created_ms": now, "changed_ms": now,
    }  # fmt: skip
    await bench.store.write(lambda tx: tx.execute(insert(installations).values(row | more)))


async def due(bench: Bench, **settings: Any) -> list[dict[str, Any]]:
    """Answer the rows that a sweep would look at now."""
    now, given = to_ms(bench.clock.now()), bench.settings.model_copy(update=settings)
    asked = await bench.store.read(lambda tx: sweeping.asked(tx, CONNECTION, given, now))
    return list(asked["rows"]) if asked else []


async def sweep(bench: Bench, **settings: Any) -> Job:
    """Do what is due now."""
    now, given = to_ms(bench.clock.now()), bench.settings.model_copy(update=settings)
    asked = await bench.store.read(lambda tx: sweeping.asked(tx, CONNECTION, given, now))
    assert asked is not None
    return await bench.run("verify_schemes", **asked)


async def alert(bench: Bench, kind: str = "alert.raised") -> None:
    """State an alert about the scheme of USED, or its end, and fold it."""

    def write(tx: Connection) -> None:
        cause = f"traffilog.scheme:{CONNECTION}:{USED}"
        now = to_ms(bench.clock.now())
        [told] = append_facts(tx, bench.ambient, "test", [Fact(kind, cause, now, {"title": "x"})])
        Alerts().apply(tx, list(read_after(tx, told.seq - 1, limit=1)))

    await bench.store.write(write)


async def test_the_clock_asks_for_what_is_due_and_for_nothing_else(bench: Bench):
    declared = {"traffilog": CONNECTOR.schedules}
    schedules = Schedules(bench.store, bench.ambient, bench.registry, bench.orders, declared)
    looked: dict[tuple[str, str], int] = {}
    assert await schedules.look(looked) == []

    await put(bench, "r1")
    await bench.clock.run_for(5 * MINUTE_S)
    [job] = await schedules.look(looked)
    done = await bench.ends(await bench.named(job))

    [row] = done.result["rows"]
    assert (done.params["dry_run"], row["verdict"], row["installation"]) == (True, "ok", "r1")
    await bench.clock.run_for(20 * HOUR_S)
    assert await schedules.look(looked) == []  # what is as it was meant is not looked at again


async def test_only_finished_installations_of_the_last_day_with_a_scheme_are_due(bench: Bench):
    await bench.clock.run_for(48 * HOUR_S)
    old = to_ms(bench.clock.now()) - 25 * HOUR_S * 1000
    await put(bench, "fresh", vehicle="2900101")
    await put(bench, "old", vehicle="2900102", saved_ms=old, created_ms=old)
    await put(bench, "open", vehicle="2900103", saved_ms=None)
    await put(bench, "bare", vehicle="2900104", scheme="")
    await put(bench, "removal", vehicle="2900105", service="UNINSTALL")
    assert await due(bench) == []  # the portal needs a moment

    await bench.clock.run_for(2 * MINUTE_S)
    assert [row["installation"] for row in await due(bench)] == ["fresh"]


async def test_a_vehicle_whose_unit_was_taken_off_is_never_looked_at_for_an_older_installation(bench: Bench):
    await put(bench, "r1")
    await bench.clock.run_for(HOUR_S)
    assert await due(bench)
    await put(bench, "r2", service="UNINSTALL", saved_ms=None)  # it has only begun

    assert await due(bench) == []


async def test_a_vehicle_on_which_a_job_works_waits(bench: Bench):
    await put(bench, "r1")
    await bench.clock.run_for(2 * MINUTE_S)
    await bench.stop()
    job = await bench.ask("maint_no_swap", plate="TST2L74", vehicle_id=USED)
    assert await due(bench) == []

    await bench.cancel(job)
    assert len(await due(bench)) == 1


async def test_one_sweep_looks_at_twenty_and_the_longest_waiting_go_first(bench: Bench):
    now = to_ms(bench.clock.now())
    for number in range(SWEEP_ROWS_MAX + 5):
        await put(bench, f"r{number}", vehicle=str(2_910_000 + number), saved_ms=now - number)
    await bench.clock.run_for(2 * MINUTE_S)

    rows = await due(bench)

    assert len(rows) == SWEEP_ROWS_MAX
    assert rows[0]["installation"] == f"r{SWEEP_ROWS_MAX + 4}"


async def test_what_differs_is_looked_at_more_and_more_seldom_and_written_again_once(bench: Bench):
    await put(bench, "r1", scheme=OTHER)
    await bench.clock.run_for(2 * MINUTE_S)
    done = await sweep(bench, verify_resend=True)
    [row] = done.result["rows"]
    assert (row["verdict"], row["assigned"], row["meant"]) == ("mismatch", ASSIGNED, OTHER)
    resent = await bench.named(row["job"])
    assert (resent.kind, resent.params["vehicle_setting_id"]) == ("traffilog.scheme_builder", OTHER)
    assert await due(bench, verify_resend=True) == []  # its job works on the vehicle
    await bench.cancel(resent)
    assert await due(bench, verify_resend=True) == []  # too soon

    await bench.clock.run_for(31 * MINUTE_S)
    again = await sweep(bench, verify_resend=True)
    assert [one["job"] for one in again.result["rows"]] == [""]
    await bench.clock.run_for(31 * MINUTE_S)
    assert await due(bench) == []
    await bench.clock.run_for(31 * MINUTE_S)
    assert len(await due(bench)) == 1


async def test_a_connection_for_reading_writes_nothing_again(bench: Bench):
    await put(bench, "r1", scheme=OTHER)
    await bench.clock.run_for(2 * MINUTE_S)
    done = await sweep(bench, verify_resend=True, read_only=True)

    assert (done.params["dry_run"], [row["job"] for row in done.result["rows"]]) == (True, [""])


async def test_while_an_alert_stands_a_vehicle_is_looked_at_however_old_it_is(bench: Bench):
    await put(bench, "r1")
    await bench.clock.run_for(30 * HOUR_S)
    assert await due(bench) == []
    await alert(bench)

    [row] = await due(bench, verify_resend=True)
    assert (row["standing"], row["resend"]) == (True, False)
    done = await sweep(bench)
    assert [one["verdict"] for one in done.result["rows"]] == ["ok"]
    await alert(bench, "alert.resolved")
    assert await due(bench) == []


async def test_an_alert_about_a_vehicle_without_its_unit_ends_without_asking_the_portal(bench: Bench):
    await put(bench, "r1", service="UNINSTALL", client="", client_name="")
    await alert(bench)
    await bench.clock.run_for(2 * MINUTE_S)
    done = await sweep(bench)

    assert [one["verdict"] for one in done.result["rows"]] == ["excluded"]
    assert bench.sim.portal.logins == {}


async def test_a_vehicle_that_cannot_be_read_keeps_none_of_the_others_waiting(bench: Bench):
    await put(bench, "r0", vehicle="9999999", saved_ms=to_ms(bench.clock.now()) - 1)
    await put(bench, "r1")
    await bench.clock.run_for(2 * MINUTE_S)

    done = await sweep(bench)

    assert [row["verdict"] for row in done.result["rows"]] == ["unknown", "ok"]
    assert "9999999" in done.result["rows"][0]["why"]


@pytest.mark.parametrize(
    ("row", "verdict", "moved"),
    [
        ({"ASSIGNED_VEHICLE_SETTING_ID": "5433", "DIAL_NUMBER": "920003010"}, "ok", False),
        ({"ASSIGNED_VEHICLE_SETTING_ID": "5411", "DIAL_NUMBER": "0000000920003010"}, "mismatch", False),
        ({"ASSIGNED_VEHICLE_SETTING_ID": "5411", "DIAL_NUMBER": "920009999"}, "unknown", True),
        ({"ASSIGNED_VEHICLE_SETTING_ID": "5411", "DIAL_NUMBER": ""}, "unknown", True),
        ({"ASSIGNED_VEHICLE_SETTING_ID": "-1", "DIAL_NUMBER": "920003010"}, "unknown", False),
        ({}, "unknown", False),
    ],
)
def test_a_vehicle_is_judged_by_its_scheme_only_while_it_carries_the_unit(
    row: dict[str, str], verdict: str, moved: bool
):
    asked = SweepRow(
        vehicle_id=USED, service="INSTALL", done_ms=0, vehicle_setting_id="5433", serial="920003010"
    )
    said = judge(asked, row)
    assert (said.verdict, said.moved) == (verdict, moved)


async def test_a_verdict_becomes_a_fact_of_the_installation_and_an_alert_that_ends_by_itself(bench: Bench):
    await put(bench, "r1", scheme=OTHER)
    await bench.clock.run_for(2 * MINUTE_S)
    await sweep(bench)
    fold = Fold()
    fold.hear(*await told_again(bench.store))

    [fact] = fold.of("installation.scheme_verified")
    assert (fact.key, fact.data["verdict"], fact.data["assigned"]) == ("r1", "mismatch", ASSIGNED)
    [raised] = fold.of("alert.raised")
    assert raised.key == f"traffilog.scheme:{FLEET}:{USED}"
    assert raised.data["title"] == f"TST2L74 has the scheme {ASSIGNED} in the portal, not {OTHER}."
    assert not fold.of("alert.resolved")

    bench.vehicle(USED).assigned_setting = OTHER
    await bench.clock.run_for(HOUR_S)
    await sweep(bench)
    fold.hear(*(await told_again(bench.store))[1:])
    assert [one.key for one in fold.of("alert.resolved")] == [raised.key]
    assert fold.of("installation.scheme_verified")[-1].data["verdict"] == "ok"
