"""The scheduler under random failures: order per key, nothing lost, one key never in another's way."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atalaia.clock import HeldClock
from atalaia.deliveries.targets.target import Attempt, Unreachable
from atalaia.errors import InDoubt, Rejected, Unavailable
from atalaia.store.store import Store
from tests.deliveries.hub import Hub, Script, sqlite_store

FAILURES = [
    lambda: Unavailable("HTTP 500"),
    lambda: InDoubt("no answer"),
    lambda: Rejected("HTTP 422"),
    lambda: Unreachable("no connection"),
]


class Weather:
    """Lets attempts fail by chance, and every attempt of the key `bad`."""

    def __init__(self, seed: int, share: float) -> None:
        self._random = Random(seed)
        self.share = share

    def __call__(self, destination: str, one: Attempt) -> BaseException | None:
        if one.key == "bad" and self.share:
            return Rejected("HTTP 422")
        return self._random.choice(FAILURES)() if self._random.random() < self.share else None


def _orderly(script: Script, routed: dict[str, list[int]]) -> None:
    for key, seqs in routed.items():
        assert script.seqs(key) == seqs, key
    assert script.overtaken == 0


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32),
    share=st.sampled_from([0.0, 0.05, 0.3]),
    batches=st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40), min_size=1, max_size=6),
    restart=st.booleans(),
)
async def test_order_per_key_holds_under_random_failures_and_restarts(
    seed: int, share: float, batches: list[list[str]], restart: bool
):
    script = Script(Weather(seed, share))
    clock = HeldClock()
    with tempfile.TemporaryDirectory() as folder:
        async with sqlite_store(Path(folder)) as store:
            hub = Hub(store, clock, target=script, seed=seed)
            await hub.subscribe()
            hub.start()
            routed: dict[str, list[int]] = {}
            for turn, batch in enumerate(batches):
                await hub.happen(*batch, "bad")
                if restart and turn % 2:
                    await hub.kill()
                    hub = Hub(store, clock, target=script, seed=seed + turn, owner=f"worker-{turn}")
                    hub.start()
            for row in await hub.rows("select key, seq from deliveries order by id"):
                routed.setdefault(row.key, []).append(row.seq)
            good = {key: seqs for key, seqs in routed.items() if key != "bad"}

            def done() -> bool:
                return all(set(script.seqs(key)) == set(seqs) for key, seqs in good.items())

            await hub.until(done, passing_s=2)
            _orderly(script, good)
            weather = script.answers
            assert isinstance(weather, Weather)
            weather.share = 0.0
            await hub.settled(passing_s=30)
            _orderly(script, routed)
            await hub.close()


async def test_thousands_of_deliveries_with_failures_keep_their_order(store: Store, clock: HeldClock):
    script = Script(Weather(7, 0.02))
    hub = Hub(store, clock, target=script)
    await hub.subscribe()
    hub.start()
    keys = [f"k{n}" for n in range(200)]
    for _ in range(20):
        await hub.happen(*keys)

    await hub.settled(passing_s=2)

    assert await hub.states() == {"delivered": 4000}
    assert all(script.seqs(key) == sorted(script.seqs(key)) for key in keys)
    assert all(len(script.seqs(key)) == 20 for key in keys)
    assert script.overtaken == 0
    await hub.close()
