"""People: invited by link, changed, disabled. What is done to them is a fact in the log."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, insert, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.desk.people import rows
from atalaia.desk.people.model import HUB, By, NotAllowed, Person, SignedIn
from atalaia.desk.people.passwords import digest, hash_password, new_secret, verify_password
from atalaia.desk.people.roles import ROLES
from atalaia.desk.people.sessions import PRODUCER, Sessions
from atalaia.desk.words import N_
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.settings import Settings
from atalaia.store.store import Store
from atalaia.store.tables import login_links, people

_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,135}")
_PROFILE = ("language", "zone", "theme", "density")


@dataclass(frozen=True, slots=True)
class Link:
    """What a one-time link is for: the first administrator, a new person's password, or just signing in."""

    kind: str  # first, welcome, sign_in
    person: Person | None


@dataclass(frozen=True)
class People:
    """The register of people."""

    store: Store
    ambient: Ambient
    settings: Settings
    sessions: Sessions

    # One-time links.

    async def first_link(self) -> str | None:
        """Answer the secret of a link that makes the first administrator, or None when there is one."""
        return await self.store.write(self._first_link)

    async def link_for(self, email: str, *, by: By = HUB) -> str:
        """Answer the secret of a link that signs this person in. Errors: `NotAllowed` when nobody fits."""
        return await self.store.write(lambda tx: self._link_for(tx, email, by))

    async def look_at_link(self, secret: str) -> Link | None:
        """Answer what the link is for; None when it is used, too old or made up. Does not use it up."""
        now = self._now()
        return await self.store.read(lambda tx: _link(tx, secret, now))

    async def use_link(
        self, secret: str, *, email: str = "", name: str = "", password: str = "", agent: str, address: str
    ) -> SignedIn:
        """Use a link up: set the password where one is missing, make the first administrator, sign in.

        Errors: `NotAllowed` for a link that is used up and for input that does not do.
        """
        link = await self.look_at_link(secret)
        hashed = None
        if link is None:
            raise _used_up()
        if link.kind == "first":
            _check_person(email, name, "admin")
        if link.kind != "sign_in":
            self.check_password(password)
            hashed = await hash_password(password)
        return await self.store.write(
            lambda tx: self._use_link(tx, secret, email, name, hashed, agent, address)
        )

    # Changes.

    async def invite(self, email: str, name: str, role: str, *, by: By) -> tuple[Person, str]:
        """Add a person without a password; answer him and the secret of his link. Errors: `NotAllowed`."""
        _check_person(email, name, role)
        return await self.store.write(lambda tx: self._invite(tx, email, name, role, by))

    async def invite_again(self, person: str, *, by: By) -> str:
        """Answer the secret of a fresh link for a person who lost his: he sets a new password with it."""
        return await self.store.write(lambda tx: self._invite_again(tx, person, by))

    async def create(self, email: str, name: str, role: str, password: str, *, by: By = HUB) -> Person:
        """Add a person with a password. Errors: `NotAllowed`."""
        _check_person(email, name, role)
        self.check_password(password)
        hashed = await hash_password(password)
        return await self.store.write(lambda tx: self._create(tx, email, name, role, hashed, by))

    async def change(
        self,
        person: str,
        *,
        by: By,
        name: str | None = None,
        role: str | None = None,
        disabled: bool | None = None,
    ) -> Person:
        """Change what is given. Errors: `NotAllowed`, also when no administrator would be left."""
        return await self.store.write(lambda tx: self._change(tx, person, by, name, role, disabled))

    async def change_password(self, person: Person, old: str, new: str, *, keep: str, by: By) -> None:
        """Change one's own password and sign out everywhere else than in the session `keep`."""
        hashed = await self.store.read(lambda tx: rows.password_hash(tx, person.id))
        if hashed is not None and not await verify_password(hashed, old):
            raise NotAllowed(N_("The present password is not right."), field="old")
        self.check_password(new, field="new")
        fresh = await hash_password(new)
        await self.store.write(lambda tx: self._set_password(tx, person.id, fresh, by, keep))

    async def sign_out_everywhere(self, person: str, *, by: By, but: str = "") -> int:
        """End the sessions of a person; answer how many."""
        return await self.store.write(lambda tx: self._sign_out_everywhere(tx, person, by, but))

    async def set_profile(self, person: str, wanted: Mapping[str, str]) -> None:
        """Keep how a person likes his screens: language, zone, theme, density."""
        values = {name: value for name, value in wanted.items() if name in _PROFILE}
        if values:
            change = update(people).where(people.c.id == person).values(values)
            await self.store.write(lambda tx: tx.execute(change))

    def check_password(self, password: str, *, field: str = "password") -> None:
        """Refuse a password that is too short or too long to be one. Errors: `NotAllowed`."""
        least = self.settings.password_chars_min
        if not least <= len(password) <= 1_000:
            raise NotAllowed(
                N_("The password is too short. Several words in a row are easy to remember."),
                field=field,
                remedy=f"Give {least} characters or more.",
            )

    # Within a transaction.

    def _first_link(self, tx: Connection) -> str | None:
        if not rows.nobody_yet(tx):
            return None
        return self._new_link(tx, None, self.settings.link_minutes * 60_000)

    def _link_for(self, tx: Connection, email: str, by: By) -> str:
        found = rows.find_person(tx, email)
        if found is None or found[0].disabled_ms is not None:
            raise NotAllowed(
                N_("There is no person with this e-mail address who may sign in."), field="email"
            )
        self._fact(tx, "person.invited", found[0].id, by, {"email": found[0].email})
        return self._new_link(tx, found[0].id, self.settings.link_minutes * 60_000)

    def _new_link(self, tx: Connection, person: str | None, lifetime_ms: int) -> str:
        secret, now = new_secret(), self._now()
        row = {
            "hash": digest(secret), "person": person, "created_ms": now, "expires_ms": now + lifetime_ms,
            "used_ms": None,
        }  # fmt: skip
        tx.execute(insert(login_links).values(row))
        return secret

    def _use_link(
        self, tx: Connection, secret: str, email: str, name: str, hashed: str | None, agent: str, address: str
    ) -> SignedIn:
        now = self._now()
        link = _link(tx, secret, now)
        if link is None:
            raise _used_up()
        tx.execute(update(login_links).where(login_links.c.hash == digest(secret)).values(used_ms=now))
        if link.person is None:
            person = self._create(tx, email, name, "admin", hashed, By("hub", "", "", address))
        else:
            person = link.person
            if hashed is not None:
                by = By("person", person.id, person.name, address)
                self._set_password(tx, person.id, hashed, by, "")
                person = replace(person, has_password=True)
        return self.sessions.begin(tx, person, agent, address)

    def _invite(self, tx: Connection, email: str, name: str, role: str, by: By) -> tuple[Person, str]:
        person = self._create(tx, email, name, role, None, by)
        self._fact(tx, "person.invited", person.id, by, {"email": person.email})
        return person, self._new_link(tx, person.id, self.settings.invite_hours * 3_600_000)

    def _invite_again(self, tx: Connection, identity: str, by: By) -> str:
        person = _known(tx, identity)
        if person.disabled_ms is not None:
            raise NotAllowed(N_("This person is disabled."), remedy="Enable the person first.")
        now = self._now()
        # An unused older link would be a second way in.
        old = (login_links.c.person == identity, login_links.c.used_ms.is_(None))
        tx.execute(update(login_links).where(*old).values(used_ms=now))
        tx.execute(update(people).where(people.c.id == identity).values(password_hash=None))
        ended = self.sessions.end_all(tx, identity)
        self._fact(tx, "person.invited", identity, by, {"email": person.email, "signed_out": ended})
        return self._new_link(tx, identity, self.settings.invite_hours * 3_600_000)

    def _create(self, tx: Connection, email: str, name: str, role: str, hashed: str | None, by: By) -> Person:
        email = email.strip().lower()
        if rows.find_person(tx, email) is not None:
            raise NotAllowed(N_("There is a person with this e-mail address already."), field="email")
        now, identity = self._now(), self.ambient.ids.new()
        row = {
            "id": identity, "email": email, "name": name.strip(), "role": role, "password_hash": hashed,
            "language": "", "zone": "", "theme": "", "density": "", "created_ms": now,
        }  # fmt: skip
        tx.execute(insert(people).values(row))
        self._fact(tx, "person.created", identity, by, {"email": email, "name": name.strip(), "role": role})
        person = rows.get_person(tx, identity)
        assert person is not None
        return person

    def _change(
        self, tx: Connection, identity: str, by: By, name: str | None, role: str | None, disabled: bool | None
    ) -> Person:
        before = _known(tx, identity)
        values: dict[str, Any] = {}
        if name is not None and name.strip() != before.name:
            values["name"] = name.strip()
        if role is not None and role != before.role:
            values["role"] = role
        if disabled is not None and disabled != (before.disabled_ms is not None):
            values["disabled_ms"] = self._now() if disabled else None
        if not values:
            return before
        _check_person(before.email, values.get("name", before.name), values.get("role", before.role))
        tx.execute(update(people).where(people.c.id == identity).values(values))
        if before.role == "admin":
            _check_admin_left(tx)
        if values.get("disabled_ms"):
            self.sessions.end_all(tx, identity)
        fields = [name.removesuffix("_ms") for name in values]
        told = {key: value for key, value in values.items() if key != "disabled_ms"}
        self._fact(tx, "person.changed", identity, by, {"email": before.email, "fields": fields, **told})
        return _known(tx, identity)

    def _set_password(self, tx: Connection, identity: str, hashed: str, by: By, keep: str) -> None:
        tx.execute(update(people).where(people.c.id == identity).values(password_hash=hashed))
        ended = self.sessions.end_all(tx, identity, but=keep)
        self._fact(tx, "person.changed", identity, by, {"fields": ["password"], "signed_out": ended})

    def _sign_out_everywhere(self, tx: Connection, person: str, by: By, but: str) -> int:
        ended = self.sessions.end_all(tx, person, but=but)
        if ended:
            self._fact(tx, "person.signed_out", person, by, {"sessions": ended})
        return ended

    def _fact(self, tx: Connection, kind: str, key: str, by: By, data: Mapping[str, Any]) -> None:
        fact = Fact(kind, key, self._now(), {"by": by.as_data(), **data})
        append_facts(tx, self.ambient, PRODUCER, [fact])

    def _now(self) -> int:
        return to_ms(self.ambient.clock.now())


def _link(tx: Connection, secret: str, now_ms: int) -> Link | None:
    row = rows.find_link(tx, digest(secret), now_ms)
    if row is None:
        return None
    if row.person is None:
        return Link("first", None) if rows.nobody_yet(tx) else None
    person = rows.get_person(tx, row.person)
    if person is None or person.disabled_ms is not None:
        return None
    return Link("sign_in" if person.has_password else "welcome", person)


def _known(tx: Connection, identity: str) -> Person:
    person = rows.get_person(tx, identity)
    if person is None:
        raise NotAllowed(N_("There is no such person."), field="id")
    return person


def _check_person(email: str, name: str, role: str) -> None:
    if not _EMAIL.fullmatch(email.strip()):
        raise NotAllowed(
            N_("This is not an e-mail address."), field="email", remedy="Write it like ana@example.com."
        )
    if not 1 <= len(name.strip()) <= 120:
        raise NotAllowed(N_("The name is empty or longer than 120 characters."), field="name")
    if role not in ROLES:
        raise NotAllowed(
            N_("There is no such role."), field="role", remedy=f"Choose one of {', '.join(ROLES)}."
        )


def _check_admin_left(tx: Connection) -> None:
    if rows.nobody_yet(tx):
        raise NotAllowed(
            N_("Nobody would be left who can administer this hub."),
            remedy="Make somebody else an administrator first.",
        )


def _used_up() -> NotAllowed:
    return NotAllowed(
        N_("This link was used already or is too old."), remedy="Ask an administrator for a new one."
    )
