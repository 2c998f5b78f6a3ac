"""`bench intake` in small: what was answered with 200 is in the log, and understood."""

from __future__ import annotations

import pytest

from atalaia.bench import broker, intake


async def test_each_webhook_that_was_taken_is_in_the_log_and_understood(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(broker, "is_installed", lambda: False)  # the baseline has nothing to do with it

    figures = await intake.bench(clients=4, seconds=1, database_url=None)

    assert (figures["failed"], figures["lost"]) == (0, 0)
    assert figures["understood"] >= figures["webhooks"] > 0
    assert figures["baseline"]["not_run"]
