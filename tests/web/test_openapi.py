"""The API does what its description says, whatever it is sent."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance

from atalaia.ambient import Ambient
from atalaia.connections.registry import Registry
from atalaia.events.log import Source
from atalaia.events.model import Fact, Heard
from atalaia.redact import Redactor
from atalaia.secretbox import SecretBox, new_key
from atalaia.settings import load_settings
from atalaia.web.app import create_app
from atalaia.web.old.traffilog.common import TAGS
from atalaia.web.parts import Parts
from tests.web.site import Site, running

# What is not asked of it: that every text which fits the schema is accepted. A cursor, an id or a filter is
# opaque text for the schema, and yet only some texts are good.
LEFT_OUT = [positive_data_acceptance]
# The old software answered 500 and 502 for what is not configured or not reachable; its clients know them.
OLD_LEFT_OUT = [not_a_server_error]
# A query string has only texts: a text in place of a list of texts, or of nothing, cannot be told from it.
# So it is with the files of a form: it has no lists within lists.
IN_WORDS = re.compile(
    r"Invalid component: (parameter `\w+` in query - violates `anyOf`"
    r"|in body - violates `type` at /properties/files/items)"
    r"|body: violates `type` at /properties/files/items"
)


class Running:
    """A site in a thread of its own: the test asks in plain calls."""

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self.token = ""
        self._folder = folder
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    def close(self) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        keys: dict[str, Any] = {"old_worker_key": "worker-key", "old_admin_key": "admin-key"}
        async with running(self._folder, Ambient(), **keys) as site:
            self.url = site.url
            self.token = await prepare(site)
            self._ready.set()
            await self._stop.wait()


async def prepare(site: Site) -> str:
    """Put a little of everything into the site; answer a token that may do all."""
    from atalaia.desk.people.roles import SCOPES

    connection = await site.connection()
    await site.connection("toy", url="http://toy", password="toy-secret-1")
    heard = [Heard("toy.Rang", f"k{number}", 1_767_225_600_000 + number, '{"a": 1}') for number in range(5)]
    await site.parts.log.put(Source(connection), heard)
    await site.parts.log.put_facts("test", [Fact("call.opened", "c1", 1_767_225_600_000, {"origin": "1"})])
    await site.person()
    _, secret = await site.parts.tokens.make("schemathesis", list(SCOPES))
    return secret


@pytest.fixture(scope="module")
def site_thread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running_site = Running(tmp_path_factory.mktemp("openapi"))
    yield running_site
    running_site.close()


def description() -> dict[str, Any]:
    """Answer the description without a running site: tests are made from it when they are collected."""
    given = load_settings()
    box = SecretBox([new_key()])
    nothing: Any = None
    parts = Parts(given, Ambient(), nothing, nothing, Registry({}, box), box, Redactor(), {}, {})
    return create_app(parts).openapi()


schema = schemathesis.openapi.from_dict(description())


@schema.parametrize()
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
def test_every_operation_keeps_its_promises(case: Any, site_thread: Running) -> None:
    headers = {"Authorization": f"Bearer {site_thread.token}"}
    old = TAGS & set(case.operation.definition.raw.get("tags", ()))
    left_out = [*LEFT_OUT, *(OLD_LEFT_OUT if old else ())]
    answer = case.call(base_url=site_thread.url, headers=headers, timeout=30)
    try:
        case.validate_response(answer, headers=headers, excluded_checks=left_out)
        broken = ""
    except* AssertionError as found:  # each broken promise is one of these
        broken = "\n".join(text for one in found.exceptions if not IN_WORDS.search(text := str(one)))
    assert not broken


def test_the_description_is_not_open_to_everybody(site_thread: Running) -> None:
    assert requests.get(f"{site_thread.url}/api/openapi.json", timeout=10).status_code == 401
