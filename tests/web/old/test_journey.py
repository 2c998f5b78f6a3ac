"""A whole installation as the old app does it, on the real engine and the simulated upstream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from atalaia.clock import HeldClock
from atalaia.connectors.traffilog import CONNECTOR
from atalaia.redact import Redactor
from atalaia.secretbox import SecretBox, new_key
from atalaia.settings import Settings
from atalaia.web.app import create_app
from atalaia.web.parts import Parts
from tests.connectors.traffilog.live.installing import Yard
from tests.connectors.traffilog.portal.bench import EMPTY, EMPTY_CLIENT
from tests.store.bases import Base, on_both, url_of
from tests.web.old.rig import ADMIN, KEYS, PASSWORD, TECHNICIAN, Old
from tests.web.old.test_installations import form
from tests.web.site import Site, serving


@pytest_asyncio.fixture
async def yard(request: pytest.FixtureRequest, tmp_path: Path, clock: HeldClock) -> AsyncIterator[Yard]:
    base = Base(url_of(request), tmp_path)
    yard = Yard(base, await base.open(), clock)
    await yard.open()
    await yard.start()
    yield yard
    await yard.close()
    await base.close()


@pytest_asyncio.fixture
async def old(yard: Yard, tmp_path: Path) -> AsyncIterator[Old]:
    """The web application in front of the same worker."""
    given = Settings(data_dir=tmp_path, requests_per_minute=100_000, **KEYS)
    parts = Parts(
        settings=given, ambient=yard.ambient, store=yard.store, log=yard.log, registry=yard.registry,
        secretbox=SecretBox([new_key()]), redactor=Redactor(given.secret_values()),
        connectors={"traffilog": CONNECTOR}, formats={},
    )  # fmt: skip
    app = create_app(parts)
    async with serving(app) as url:
        site = Site(url, app, parts)
        yield Old(site, yard.sim, site.client())
        for session in site.sessions:
            await session.close()


@on_both("yard")
async def test_the_old_app_installs_a_unit_from_the_sign_in_to_the_record(yard: Yard, old: Old):
    yard.sim.portal.add_user(TECHNICIAN, PASSWORD, (EMPTY_CLIENT,))
    setting = {
        "client_id": EMPTY_CLIENT,
        "client_descr": "Marítima Transportes",
        "vehicle_setting_id": "5433",
    }
    assert (await old.ask("POST", "/api/admin/schemes", {"clients": [setting]}, ADMIN))[0] == 200
    technician = await old.session()
    status, made = await old.ask("POST", "/api/installations", form(), technician)
    assert status == 201, made
    root = made["job_id"]

    await yard.stands(root, "WAITING_APPROVAL", "approval")
    _, seen = await old.ask("GET", f"/api/installations/{root}", None, technician)
    assert (seen["status"], seen["sb"]["progress"]) == ("WAITING_APPROVAL", 100)
    check = seen["jobs"]["monitor_can_snapshot"]
    assert (check["status"], bool(check["result"]["snapshot"]["parameters"])) == ("waiting_approval", True)
    async with old.http.get(f"/events/{check['id']}", headers=technician) as answer:
        stream = await answer.text()
    assert stream.startswith("data: {") and '"_partial":false' in stream
    assert stream.endswith('event: stopped\ndata: {"reason":"complete"}\n\n')

    status, told = await old.ask("POST", f"/api/installations/{root}/approve-can", {}, technician)
    assert (status, told["status"]) == (200, "approved")
    await yard.stands(root, "COMPLETED")
    _, seen = await old.ask("GET", f"/api/installations/{root}", None, technician)
    statuses = {name: job["status"] for name, job in seen["jobs"].items()}
    assert statuses == {
        "html5_install": "completed", "scheme_builder": "completed", "monitor_can_snapshot": "approved",
        "gs_calibration": "completed", "save_snapshot": "completed",
    }  # fmt: skip
    assert seen["jobs"]["scheme_builder"]["result"]["status"] in ("ok", "completed_no_push")
    assert [yard.executed(kind, EMPTY) for kind in ("activation", "scheme_builder", "gsensor")] == [1, 1, 1]
