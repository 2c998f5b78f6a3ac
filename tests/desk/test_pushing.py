"""The scheduled push of the state snapshot says when it fails, once, and takes it back when it succeeds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.connectors import CONNECTORS
from atalaia.desk.alerts.fold import Alerts
from atalaia.desk.alerts.queries import Incident, standing_incidents
from atalaia.desk.system.pushing import CAUSE, Pushing
from atalaia.events.log import read_after
from atalaia.redact import Redactor
from atalaia.serve import Hub, build
from atalaia.settings import load_settings

PASSWORD = "canary-in-the-address"

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


async def standing(hub: Hub) -> list[Incident]:
    """Answer the alerts that stand, by the log."""
    await hub.store.write(lambda tx: Alerts().apply(tx, read_after(tx, 0, prefix="alert.")))
    now_ms = to_ms(hub.ambient.clock.now())
    return await hub.store.read(lambda tx: standing_incidents(tx, now_ms))


async def test_a_push_that_fails_raises_one_alert_that_the_next_success_closes(
    tmp_path: Path, ambient: Ambient
):
    bare = tmp_path / "state.git"
    settings = load_settings(data_dir=tmp_path / "hub", snapshot_repository=str(bare), snapshot_every_hours=6)
    hub = await build(settings, CONNECTORS, ambient)
    pushing = Pushing(hub.store, hub.ambient, hub.registry, hub.settings, Redactor([str(bare)]))
    try:
        assert [await pushing.push(), await pushing.push()] == [False, False]
        [alert] = await standing(hub)
        assert (alert.grouping, alert.members) == (CAUSE, 1)
        assert "git ls-remote failed" in alert.detail["known"]["said"]
        assert str(bare) not in alert.detail["known"]["said"]

        subprocess.run(["git", "init", "--quiet", "--bare", bare], check=True)
        assert await pushing.push()
        assert await standing(hub) == []
        assert await pushing.push()
        facts = await hub.store.read(lambda tx: read_after(tx, 0, prefix="alert.resolved"))
        assert len(facts) == 1
    finally:
        await hub.targets.close()
        await hub.store.close()
