"""Who owns what: never two at once, never an epoch twice."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection, select, update

from atalaia.errors import Fenced
from atalaia.store.leases import Lease, check, claim, release, renew
from atalaia.store.store import Store
from atalaia.store.tables import leases

TTL_MS = 10_000


def take(owner: str, *names: str, at: int = 0, most: int = 100):
    return lambda tx: claim(tx, names, owner, ttl_ms=TTL_MS, process_ms=at, most=most)


def expire(tx: Connection) -> None:
    """Let time pass for the database's own clock as well."""
    tx.execute(update(leases).values(expires_ms=0))


async def test_a_free_lease_is_taken_once(store: Store):
    [mine] = await store.write(take("a", "x"))

    assert (mine.name, mine.epoch) == ("x", 1)
    assert await store.write(take("b", "x")) == []
    assert await store.write(take("a", "x")) == []  # not even by its owner: that would be a second epoch


async def test_no_more_are_taken_than_asked_for(store: Store):
    assert len(await store.write(take("a", "x", "y", "z", "x", most=2))) == 2
    assert len(await store.write(take("b", "x", "y", "z"))) == 1
    assert await store.write(take("c", "w", most=0)) == []
    assert await store.write(take("c")) == []


async def test_an_expired_lease_goes_to_the_next_under_a_new_epoch(store: Store):
    [old] = await store.write(take("a", "x"))
    await store.write(expire)

    [new] = await store.write(take("b", "x"))

    assert new.epoch == old.epoch + 1
    with pytest.raises(Fenced, match="epoch 2, ours was 1"):
        await store.write(lambda tx: check(tx, "x", old.epoch))
    await store.write(lambda tx: check(tx, "x", new.epoch))


async def test_a_renewal_keeps_what_is_ours_and_leaves_out_what_is_not(store: Store):
    held = await store.write(take("a", "x", "y"))
    await store.write(lambda tx: tx.execute(update(leases).where(leases.c.name == "x").values(expires_ms=0)))
    await store.write(take("b", "x"))

    kept = await store.write(lambda tx: renew(tx, held, "a", ttl_ms=TTL_MS, process_ms=5_000))

    assert [lease.name for lease in kept] == ["y"]
    assert kept[0].expires_ms > held[1].expires_ms
    assert kept[0].epoch == held[1].epoch


async def test_of_many_renewed_together_only_those_that_were_taken_away_are_left_out(store: Store):
    names = [f"x{place:03d}" for place in range(300)]
    held = await store.write(take("a", *names, most=300))
    lost = leases.c.name.in_(["x007", "x299"])
    await store.write(lambda tx: tx.execute(update(leases).where(lost).values(expires_ms=0)))
    await store.write(take("b", "x007", "x299"))

    kept = await store.write(lambda tx: renew(tx, held, "a", ttl_ms=TTL_MS, process_ms=5_000))

    assert {lease.name for lease in kept} == set(names) - {"x007", "x299"}
    assert {lease.epoch for lease in kept} == {1}


async def test_of_thousands_that_are_free_the_next_ones_are_taken_each_time(store: Store):
    names = [f"x{place:04d}" for place in range(1_200)]

    first = await store.write(take("a", *names, most=700))
    second = await store.write(take("b", *names, most=700))

    assert [lease.name for lease in first] == names[:700]
    assert [lease.name for lease in second] == names[700:]


async def test_a_lease_that_was_handed_back_is_free_at_once_but_its_epoch_is_spent(store: Store):
    held = await store.write(take("a", "x"))
    await store.write(lambda tx: release(tx, held, "a"))
    await store.write(lambda tx: check(tx, "x", 1))  # last words of the old owner are still heard

    [new] = await store.write(take("b", "x"))

    assert new.epoch == 2
    await store.write(lambda tx: release(tx, held, "a"))  # says nothing any more
    assert await store.write(take("c", "x")) == []


async def test_a_lease_nobody_ever_had_fences(store: Store):
    with pytest.raises(Fenced):
        await store.write(lambda tx: check(tx, "unknown", 1))


async def test_of_many_who_race_for_the_same_leases_each_lease_has_one_owner(base):
    stores = [await base.open() for _ in range(1 if base.url == "" else 4)]
    names = [f"n{n}" for n in range(50)]
    got: list[tuple[str, Lease]] = []

    async def worker(n: int) -> None:
        for _ in range(10):
            store = stores[n % len(stores)]
            got.extend((f"w{n}", lease) for lease in await store.write(take(f"w{n}", *names, most=7)))

    await asyncio.gather(*[worker(n) for n in range(4)])

    assert sorted(lease.name for _, lease in got) == sorted(names)
    rows = await stores[0].read(lambda tx: tx.execute(select(leases.c.name, leases.c.owner)).all())
    assert {lease.name: owner for owner, lease in got} == dict(tuple(row) for row in rows)


async def test_a_take_over_waits_for_what_the_old_owner_is_just_writing(shared):
    """Between the look at the epoch and the commit nobody may slip in."""
    from sqlalchemy.util import await_only

    old, new = await shared.open(), await shared.open()
    [lease] = await old.write(take("a", "x"))
    await old.write(expire)
    looked, go_on = asyncio.Event(), asyncio.Event()

    def write(tx: Connection) -> None:
        check(tx, "x", lease.epoch)
        looked.set()
        await_only(go_on.wait())

    writing = asyncio.ensure_future(old.write(write))
    await looked.wait()
    assert await new.write(take("b", "x")) == []
    go_on.set()
    await writing

    assert [lease.epoch for lease in await new.write(take("b", "x"))] == [2]
