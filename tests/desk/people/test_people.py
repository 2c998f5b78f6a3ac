"""People are proven by what they know, and what is done to them is written down."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock
from atalaia.desk.people import rows
from atalaia.desk.people.model import By, NotAllowed
from atalaia.desk.people.passwords import verify_password
from atalaia.desk.people.people import People
from atalaia.desk.people.roles import ROLES, SCOPES, scopes_of
from atalaia.desk.people.sessions import Sessions, WrongPassword
from atalaia.desk.people.tokens import Tokens
from atalaia.events.log import read_after
from atalaia.settings import load_settings
from atalaia.store.connect import open_store
from atalaia.store.store import Store
from atalaia.store.tables import login_links, metadata, people, sessions, tokens

EMAIL, PASSWORD = "ana@example.com", "a sentence to remember"
BOSS = By("person", "p0", "Boss", "10.0.0.1")
HERE = {"agent": "Browser/1", "address": "10.0.0.9"}


@dataclass
class Desk:
    store: Store
    sessions: Sessions
    people: People
    tokens: Tokens

    async def facts(self) -> list[tuple[str, dict[str, Any]]]:
        events = await self.store.read(lambda tx: read_after(tx, 0, family=1))
        return [(event.type, orjson.loads(event.body)) for event in events]

    async def dump(self) -> str:
        """Everything in the database, as text."""

        def read(tx: Any) -> str:
            return "\n".join(
                str(row) for table in metadata.sorted_tables for row in tx.execute(select(table))
            )

        return await self.store.read(read)


@pytest.fixture
async def desk(tmp_path: Path, ambient: Ambient) -> AsyncIterator[Desk]:
    store = await open_store("", tmp_path)
    given = load_settings(data_dir=tmp_path)
    own = Sessions(store, ambient, given)
    yield Desk(store, own, People(store, ambient, given, own), Tokens(store, ambient))
    await store.close()


def pass_time(clock: HeldClock, **span: float) -> None:
    clock.set(clock.now() + timedelta(**span))


async def test_a_sign_in_leaves_only_hashes_in_the_database(desk: Desk) -> None:
    await desk.people.create(EMAIL, "Ana", "admin", PASSWORD)
    signed_in = await desk.sessions.sign_in(EMAIL.upper(), PASSWORD, **HERE)
    link = await desk.people.link_for(EMAIL)
    token, secret = await desk.tokens.make("bot", ["calls:read"])
    text = await desk.dump()
    for canary in (PASSWORD, signed_in.cookie, link, secret):
        assert canary not in text
    assert hashlib.sha256(secret.encode()).hexdigest() in text
    assert "$argon2id$" in text
    assert (await desk.sessions.find(signed_in.cookie)) is not None
    assert token.hint == secret[-4:]


async def test_a_failed_sign_in_is_a_fact_that_does_not_say_what_was_typed(desk: Desk) -> None:
    await desk.people.create(EMAIL, "Ana", "admin", PASSWORD)
    for email, typed in ((EMAIL, "typed-secret"), ("typed-secret@x", PASSWORD)):
        with pytest.raises(WrongPassword):
            await desk.sessions.sign_in(email, typed, **HERE)
    failed = [data for kind, data in await desk.facts() if kind == "person.sign_in_failed"]
    assert [data["known"] for data in failed] == [True, False]
    assert "typed-secret" not in await desk.dump()


async def test_nobody_signs_in_without_a_password_or_when_disabled(desk: Desk) -> None:
    await desk.people.create("boss@example.com", "Boss", "admin", PASSWORD)
    invited, _ = await desk.people.invite(EMAIL, "Ana", "agent", by=BOSS)
    with pytest.raises(WrongPassword):
        await desk.sessions.sign_in(EMAIL, "", **HERE)
    other = await desk.people.create("bob@example.com", "Bob", "agent", PASSWORD)
    await desk.people.change(other.id, by=BOSS, disabled=True)
    with pytest.raises(WrongPassword):
        await desk.sessions.sign_in("bob@example.com", PASSWORD, **HERE)
    assert invited.has_password is False


async def test_a_link_works_once_and_not_for_ever(desk: Desk, clock: HeldClock) -> None:
    first = await desk.people.first_link()
    assert first is not None
    with pytest.raises(NotAllowed, match="too short"):
        await desk.people.use_link(first, email=EMAIL, name="Ana", password="short", **HERE)
    await desk.people.use_link(first, email=EMAIL, name="Ana", password=PASSWORD, **HERE)
    with pytest.raises(NotAllowed, match="used already"):
        await desk.people.use_link(first, email="eve@example.com", name="Eve", password=PASSWORD, **HERE)
    old = await desk.people.link_for(EMAIL)
    assert (await desk.people.look_at_link(old)) is not None
    pass_time(clock, minutes=61)
    assert (await desk.people.look_at_link(old)) is None


async def test_two_first_links_make_one_administrator(desk: Desk) -> None:
    one, two = await desk.people.first_link(), await desk.people.first_link()
    assert one is not None
    assert two is not None
    await desk.people.use_link(one, email=EMAIL, name="Ana", password=PASSWORD, **HERE)
    with pytest.raises(NotAllowed):
        await desk.people.use_link(two, email="eve@example.com", name="Eve", password=PASSWORD, **HERE)


async def test_a_fresh_invitation_ends_the_old_one_the_password_and_the_sessions(desk: Desk) -> None:
    await desk.people.create("boss@example.com", "Boss", "admin", PASSWORD)
    ana, old = await desk.people.invite(EMAIL, "Ana", "agent", by=BOSS)
    await desk.people.use_link(old, password=PASSWORD, **HERE)
    signed_in = await desk.sessions.sign_in(EMAIL, PASSWORD, **HERE)
    lost = await desk.people.invite_again(ana.id, by=BOSS)
    fresh = await desk.people.invite_again(ana.id, by=BOSS)
    assert await desk.people.look_at_link(lost) is None
    assert await desk.sessions.find(signed_in.cookie) is None
    with pytest.raises(WrongPassword):
        await desk.sessions.sign_in(EMAIL, PASSWORD, **HERE)
    link = await desk.people.look_at_link(fresh)
    assert link is not None
    assert link.kind == "welcome"


async def test_a_new_password_signs_out_everywhere_else(desk: Desk) -> None:
    ana = await desk.people.create(EMAIL, "Ana", "admin", PASSWORD)
    here, there = [await desk.sessions.sign_in(EMAIL, PASSWORD, **HERE) for _ in range(2)]
    with pytest.raises(NotAllowed) as refused:
        await desk.people.change_password(ana, "wrong", "another sentence", keep=here.session.hash, by=BOSS)
    assert refused.value.field == "old"
    await desk.people.change_password(ana, PASSWORD, "another sentence", keep=here.session.hash, by=BOSS)
    assert await desk.sessions.find(here.cookie) is not None
    assert await desk.sessions.find(there.cookie) is None
    await desk.sessions.sign_in(EMAIL, "another sentence", **HERE)


async def test_the_last_administrator_who_can_sign_in_stays(desk: Desk) -> None:
    boss = await desk.people.create("boss@example.com", "Boss", "admin", PASSWORD)
    await desk.people.invite("new@example.com", "New", "admin", by=BOSS)  # has no password yet
    for change in ({"role": "viewer"}, {"disabled": True}):
        with pytest.raises(NotAllowed, match="Nobody would be left"):
            await desk.people.change(boss.id, by=BOSS, **change)  # type: ignore[arg-type]
    assert (await desk.people.change(boss.id, by=BOSS, name="Chief")).name == "Chief"


async def test_disabling_ends_sessions_and_tokens_and_enabling_brings_tokens_back(desk: Desk) -> None:
    await desk.people.create("boss@example.com", "Boss", "admin", PASSWORD)
    ana = await desk.people.create(EMAIL, "Ana", "admin", PASSWORD)
    signed_in = await desk.sessions.sign_in(EMAIL, PASSWORD, **HERE)
    _, secret = await desk.tokens.make("bot", ["calls:read"], by=By("person", ana.id, "Ana"))
    await desk.people.change(ana.id, by=BOSS, disabled=True)
    assert await desk.sessions.find(signed_in.cookie) is None
    assert await desk.tokens.find(secret) is None
    await desk.people.change(ana.id, by=BOSS, disabled=False)
    assert await desk.sessions.find(signed_in.cookie) is None
    assert await desk.tokens.find(secret) is not None


async def test_what_is_done_is_told_with_who_did_it(desk: Desk) -> None:
    await desk.people.create("boss@example.com", "Boss", "admin", PASSWORD)
    ana, _ = await desk.people.invite(EMAIL, "Ana", "agent", by=BOSS)
    await desk.people.change(ana.id, by=BOSS, role="viewer")
    token, _ = await desk.tokens.make("bot", ["calls:read"], by=BOSS)
    await desk.tokens.revoke(token.id, by=BOSS)
    await desk.tokens.revoke(token.id, by=BOSS)
    told = [(kind, data["by"]["id"]) for kind, data in await desk.facts()][1:]
    kinds = ["person.created", "person.invited", "person.changed", "token.created", "token.revoked"]
    assert told == [(kind, "p0") for kind in kinds]


async def test_tokens_end_by_time_and_by_hand(desk: Desk, clock: HeldClock, ambient: Ambient) -> None:
    in_an_hour = int((clock.now().timestamp() + 3600) * 1000)
    _, short = await desk.tokens.make("short", ["calls:read"], expires_ms=in_an_hour)
    long, secret = await desk.tokens.make("long", ["calls:read"])
    assert await desk.tokens.find(short) is not None
    pass_time(clock, hours=2)
    assert await desk.tokens.find(short) is None
    await desk.tokens.revoke(long.id, by=BOSS)
    assert await desk.tokens.find(secret) is None
    with pytest.raises(NotAllowed, match="in the past"):
        await desk.tokens.make("x", ["calls:read"], expires_ms=1)
    for scopes in ([], ["no:such"]):
        with pytest.raises(NotAllowed, match="scope"):
            await desk.tokens.make("x", scopes)


async def test_sessions_that_are_over_are_cleared_away_at_the_next_sign_in(
    desk: Desk, clock: HeldClock
) -> None:
    await desk.people.create(EMAIL, "Ana", "admin", PASSWORD)
    for _ in range(3):
        await desk.sessions.sign_in(EMAIL, PASSWORD, **HERE)
        pass_time(clock, days=15)
    left = await desk.store.read(lambda tx: len(tx.execute(select(sessions)).all()))
    assert left == 1


async def test_an_unknown_hash_is_no_password() -> None:
    assert await verify_password(None, "anything") is False
    assert await verify_password("not a hash", "anything") is False


@pytest.mark.parametrize(
    ("email", "name", "role", "field"),
    [
        ("no address", "Ana", "agent", "email"),
        ("a@b\x00c", "Ana", "agent", "email"),
        ("a" * 80 + "@example.com", "Ana", "agent", "email"),
        (EMAIL, "  ", "agent", "name"),
        (EMAIL, "x" * 121, "agent", "name"),
        (EMAIL, "Ana", "owner", "role"),
    ],
)
async def test_input_that_does_not_do_names_its_field(
    desk: Desk, email: str, name: str, role: str, field: str
) -> None:
    with pytest.raises(NotAllowed) as refused:
        await desk.people.invite(email, name, role, by=BOSS)
    assert refused.value.field == field
    assert await desk.store.read(rows.list_people) == []


def test_roles_grow_and_only_know_scopes_that_exist() -> None:
    sets = {role: scopes_of(role) for role in ROLES}
    assert sets["viewer"] < sets["agent"] < sets["admin"] == set(SCOPES)
    assert sets["technician"] < sets["agent"]
    assert scopes_of("made up") == frozenset()


def test_the_tables_that_hold_secrets_hold_them_as_hashes() -> None:
    columns = {column.name for table in (people, sessions, login_links, tokens) for column in table.columns}
    assert not columns & {"password", "secret", "token", "cookie"}
