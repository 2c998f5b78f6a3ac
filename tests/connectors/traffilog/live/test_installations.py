"""Installations from the technician's form to the exported record, on the simulated portal and sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from atalaia.clock import HeldClock
from atalaia.connectors.traffilog.importing import SIDE_WORDS
from atalaia.connectors.traffilog.installing import start_of
from atalaia.desk.exports.columns import COLUMNS, line_of
from atalaia.desk.exports.exporter import exports_of
from atalaia.desk.installations import queries
from atalaia.desk.installations.actions import NotPossible, expires_ms
from atalaia.desk.installations.queries import Seen
from atalaia.jobs.submit import WrongParams
from tests.connectors.traffilog.live.installing import KNOWN, SCHEME, USED_CLIENT, Yard, form
from tests.connectors.traffilog.portal.bench import (
    EMPTY,
    EMPTY_PLATE,
    STOCK_SERIAL,
    USED,
    USED_PLATE,
    USED_SERIAL,
)
from tests.store.bases import Base, on_both, url_of


@pytest_asyncio.fixture
async def yard(request: pytest.FixtureRequest, tmp_path: Path, clock: HeldClock) -> AsyncIterator[Yard]:
    """A yard on SQLite; a test marked `on_both("yard")` gets one on each database."""
    base = Base(url_of(request), tmp_path)
    yard = Yard(base, await base.open(), clock)
    await yard.open()
    await yard.start()
    yield yard
    await yard.close()
    await base.close()


async def told(yard: Yard, root: str) -> list[str]:
    found = await yard.store.read(lambda tx: queries.history(tx, [root]))
    return [one.type.removeprefix("installation.") for one in found]


def steps(seen: Seen) -> list[str]:
    return [job.step for job in seen.chain]


@on_both("yard")
async def test_an_installation_goes_from_the_form_to_the_record_and_is_exported(yard: Yard):
    root = await yard.begin()
    waiting = await yard.stands(root, "WAITING_APPROVAL", "approval")
    assert yard.executed("gsensor", EMPTY) == 0
    assert expires_ms(waiting) is not None

    await yard.act(lambda tx, acts: acts.approve(tx, root, by="bruno"))
    done = await yard.stands(root, "COMPLETED")

    assert steps(done) == ["", "scheme_builder", "can", "approval", "gsensor", "save"]
    assert [yard.executed(kind, EMPTY) for kind in ("activation", "scheme_builder", "gsensor")] == [1, 1, 1]
    one = done.installation
    assert (one.vehicle, one.approved_by, one.override) == (EMPTY, "bruno", False)
    assert one.record["cadastro"]["plate_real"] == EMPTY_PLATE
    assert one.record["can"]["snapshot"]["parameters"]
    assert await told(yard, root) == ["created", "approved"]
    line = dict(zip(COLUMNS, line_of(one, SIDE_WORDS, ZoneInfo("America/Sao_Paulo")), strict=True))
    assert (line["Serviço"], line["Etiqueta"], line["Chicote"]) == ("Instalação", "DIREITA", "BAIXO")
    assert str(line["CAN"]).startswith("IGN:")
    assert len(str(line["CAN"])) <= 255
    [export] = await yard.store.read(lambda tx: exports_of(tx, root))
    assert (export.destination, export.state) == ("file", "pending")


async def test_an_uninstallation_needs_no_check_and_parks_the_unit(yard: Yard):
    root = await yard.begin(service="UNINSTALL", plate=USED_PLATE, serial=USED_SERIAL, client_id="")
    done = await yard.stands(root, "COMPLETED")

    assert steps(done) == ["", "save"]
    assert [yard.executed(kind, USED) for kind in ("deactivation", "scheme_builder")] == [1, 0]
    assert done.installation.record["cadastro"]["service"] == "UNINSTALL"


async def test_a_swap_writes_the_scheme_into_the_new_unit(yard: Yard):
    root = await yard.begin(
        service="MAINT_WITH_SWAP", plate=USED_PLATE, serial="", serial_new=STOCK_SERIAL, client_id=USED_CLIENT
    )
    waiting = await yard.stands(root, "WAITING_APPROVAL", "approval")

    assert steps(waiting) == ["", "scheme_builder", "can", "approval"]
    assert yard.executed("scheme_builder", USED) == 1
    assert waiting.installation.serial == STOCK_SERIAL


async def test_a_maintenance_without_swap_ends_without_a_check_and_writes_its_scheme_silently(yard: Yard):
    root = await yard.begin(service="MAINT_NO_SWAP", plate=USED_PLATE, client_id=USED_CLIENT, serial="")
    await yard.stands(root, "HTML5_DONE", "choice")
    await yard.act(lambda tx, acts: acts.complete(tx, root, by="ana"))
    done = await yard.stands(root, "COMPLETED")

    async def written() -> bool:
        return yard.executed("scheme_builder", USED) == 1

    await yard.passes(written, "the scheme is written")
    assert done.standing.word == "COMPLETED"
    with pytest.raises(NotPossible) as again:
        await yard.act(lambda tx, acts: acts.complete(tx, root, by="ana"))
    assert again.value.code == "job_ja_finalizado"


async def test_a_maintenance_without_swap_is_checked_when_the_technician_says_so(yard: Yard):
    root = await yard.begin(service="MAINT_NO_SWAP", plate=USED_PLATE, client_id=USED_CLIENT, serial="")
    with pytest.raises(NotPossible) as early:
        await yard.act(lambda tx, acts: acts.start_can(tx, root, by="ana"))
    assert early.value.code == "job_nao_concluido"

    await yard.stands(root, "HTML5_DONE", "choice")
    await yard.act(lambda tx, acts: acts.start_can(tx, root, by="ana"))
    await yard.stands(root, "WAITING_APPROVAL", "approval")
    await yard.act(lambda tx, acts: acts.approve(tx, root, by="ana"))

    await yard.stands(root, "COMPLETED")


@on_both("yard")
async def test_while_a_check_is_made_again_nothing_can_be_approved(yard: Yard):
    root = await yard.begin()
    await yard.stands(root, "WAITING_APPROVAL", "approval")
    asked = await yard.act(lambda tx, acts: acts.refresh(tx, root, by="ana"))
    with pytest.raises(NotPossible) as early:
        await yard.act(lambda tx, acts: acts.approve(tx, root, by="bruno"))
    assert early.value.code == "can_em_andamento"
    with pytest.raises(NotPossible) as twice:
        await yard.act(lambda tx, acts: acts.refresh(tx, root, by="bruno"))
    assert twice.value.code == "can_em_andamento"

    again = await yard.stands(root, "WAITING_APPROVAL", "approval")

    assert asked.job in [job.id for job in again.chain]
    assert steps(again) == ["", "scheme_builder", "can", "approval", "can:2", "approval:2"]


async def test_approving_against_the_check_needs_a_reason_that_is_kept(yard: Yard):
    root = await yard.begin()
    await yard.stands(root, "WAITING_APPROVAL", "approval")
    with pytest.raises(WrongParams):
        await yard.act(lambda tx, acts: acts.approve(tx, root, by="ana", override=True, reason=" "))
    reason = "The truck has no second bus."
    await yard.act(lambda tx, acts: acts.approve(tx, root, by="ana", override=True, reason=reason))
    done = await yard.stands(root, "COMPLETED")

    assert (done.installation.override, done.installation.override_reason) == (True, reason)
    assert yard.executed("gsensor", EMPTY) == 1


async def test_an_installation_goes_on_from_a_check_that_failed_when_somebody_says_why(yard: Yard):
    root = await yard.begin(
        service="MAINT_NO_SWAP", plate="TST2Q43", client_id=USED_CLIENT, serial="", label="", harness=""
    )
    await yard.stands(root, "HTML5_DONE", "choice")
    await yard.act(lambda tx, acts: acts.start_can(tx, root, by="ana"))
    failed = await yard.stands(root, "CAN_ERROR", "retry")
    assert failed.standing.reason == "can_sem_parametros"
    with pytest.raises(NotPossible) as plain:
        await yard.act(lambda tx, acts: acts.approve(tx, root, by="ana"))
    assert plain.value.code == "can_sem_parametros"

    reason = "A trailer: it has no bus."
    await yard.act(lambda tx, acts: acts.approve(tx, root, by="ana", override=True, reason=reason))
    done = await yard.stands(root, "COMPLETED")

    assert steps(done)[:4] == ["", "can", "approval:1:given", "save"]
    one = done.installation
    assert (one.approved_by, one.override, one.override_reason) == ("ana", True, reason)
    assert await told(yard, root) == ["created", "can_started", "approved"]


async def test_a_refused_check_can_be_made_again(yard: Yard):
    root = await yard.begin()
    await yard.stands(root, "WAITING_APPROVAL", "approval")
    await yard.act(lambda tx, acts: acts.refuse(tx, root, by="ana", reason="CAN1 is dead"))
    refused = await yard.stands(root, "CAN_ERROR")
    assert refused.standing.reason == "can_refused"

    await yard.act(lambda tx, acts: acts.refresh(tx, root, by="ana"))
    await yard.stands(root, "WAITING_APPROVAL", "approval")


async def test_a_serial_on_another_vehicle_stops_it_before_anything_is_written(yard: Yard):
    root = await yard.begin(serial=USED_SERIAL)
    failed = await yard.stands(root, "HTML5_ERROR", "retry")

    assert failed.standing.reason == "serial_in_use"
    assert yard.executed("activation", EMPTY) == 0
    assert steps(failed) == [""]


@on_both("yard")
async def test_what_was_called_off_can_be_run_again(yard: Yard):
    root = await yard.begin()
    await yard.stands(root, "WAITING_APPROVAL", "approval")
    await yard.act(lambda tx, acts: acts.cancel(tx, root, reason="wrong truck", by="ana"))
    assert (await yard.see(root)).standing.word == "CANCELLED"
    await yard.act(lambda tx, acts: acts.retry(tx, root, reason="right truck after all", by="ana"))

    await yard.stands(root, "WAITING_APPROVAL", "approval")
    assert yard.executed("scheme_builder", EMPTY) == 1


async def test_an_approval_that_comes_too_late_is_told_so(sqlite: Base, clock: HeldClock):
    yard = Yard(sqlite, await sqlite.open(), clock)
    await yard.open(approval_within_h=0.02)
    await yard.start()
    root = await yard.begin()
    expired = await yard.stands(root, "CAN_ERROR")
    assert expired.standing.reason == "approval_timeout"
    with pytest.raises(NotPossible) as late:
        await yard.act(lambda tx, acts: acts.approve(tx, root, by="ana"))
    await yard.close()

    assert late.value.code == "approval_timeout"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"client_id": "310999"}, "client_id"),
        ({"client_id": ""}, "client_id"),
        ({"serial": ""}, "serial"),
        ({"asset_type": ""}, "asset_type"),
        ({"label": "LEFT", "harness": "FRONT"}, "harness"),
        ({"label": "UP", "harness": "DOWN"}, "harness"),
        ({"service": "MAINT_WITH_SWAP"}, "serial_new"),
    ],
)
def test_a_form_that_cannot_be_is_refused_by_the_field(change: dict[str, Any], field: str):
    with pytest.raises(WrongParams) as refused:
        start_of(form(**change), KNOWN)
    assert field in [one["field"] for one in refused.value.fields]


def test_the_active_scheme_of_the_client_beats_what_was_asked_for():
    start = start_of(form(vehicle_setting_id="1111"), KNOWN)
    assert start.scheme == SCHEME
