"""Which rung comes first for which trouble of a WhatsApp session, as the contract's section 2.4 has it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from atalaia.connections.ladder import Act, Calm, Claim, Granted, Sick, Suspected, step
from atalaia.connections.truth import Truth
from atalaia.connectors.wppconnect.session import ladder_of
from atalaia.connectors.wppconnect.settings import WppconnectSettings

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SERVER = {"session_name": "Canal Um", "server_url": "http://server.example.test", "secret_key": "test-only"}
AGENT = {**SERVER, "browser_url": "http://agent.example.test"}


def first_for(trouble: Truth, **settings: str) -> list[str]:
    """Answer what is done first about a trouble that a look has proven."""
    ladder = ladder_of(WppconnectSettings.model_validate(settings))
    state, _ = step(Calm(), Suspected(trouble), NOW, ladder)
    state, orders = step(state, Sick(trouble), NOW + timedelta(seconds=1), ladder)
    assert [type(one) for one in orders] == [Claim]
    _, orders = step(state, Granted(), NOW + timedelta(seconds=2), ladder)
    return [one.rung.name for one in orders if isinstance(one, Act)]


@pytest.mark.parametrize(
    ("trouble", "without_agent", "with_agent"),
    [
        (Truth.CLOSED, "start", "start"),
        (Truth.BROWSER_LOST, "restart", "restart"),
        (Truth.DEAF, "restart", "restart"),
        (Truth.HUNG, "restart", "end_browser"),
        (Truth.STARTING, "restart", "end_browser"),
    ],
)
def test_each_trouble_begins_with_the_mildest_rung_that_can_end_it(
    trouble: Truth, without_agent: str, with_agent: str
):
    assert first_for(trouble, **SERVER) == [without_agent]
    assert first_for(trouble, **AGENT) == [with_agent]
