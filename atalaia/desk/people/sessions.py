"""Signing in and out: an opaque cookie, whose SHA-256 is in the database, with an expiry that rolls."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, update

from atalaia.ambient import Ambient
from atalaia.clock import to_ms
from atalaia.desk.people import rows
from atalaia.desk.people.model import By, NotAllowed, Person, Session, SignedIn
from atalaia.desk.people.passwords import digest, new_secret, verify_password
from atalaia.desk.words import N_
from atalaia.events.log import append_facts
from atalaia.events.model import Fact
from atalaia.settings import Settings
from atalaia.store.store import Store
from atalaia.store.tables import people, sessions

PRODUCER = "people"
# The expiry rolls at most this often: one small write a minute per person who works.
_ROLL_MS = 60_000
_AGENT_CHARS_MAX = 200


class WrongPassword(NotAllowed):
    """Address and password do not belong together; which of them is wrong stays unsaid."""


@dataclass(frozen=True)
class Sessions:
    """Who is signed in."""

    store: Store
    ambient: Ambient
    settings: Settings

    async def sign_in(self, email: str, password: str, *, agent: str, address: str) -> SignedIn:
        """Check a password and begin a session.

        Errors: `WrongPassword`, also for unknown and disabled people and after the same time.
        """
        found = await self.store.read(lambda tx: rows.find_person(tx, email))
        person, hashed = found or (None, None)
        fits = await verify_password(hashed, password)
        if person is None or not fits or person.disabled_ms is not None:
            await self.store.write(lambda tx: self._failed(tx, person, address))
            raise WrongPassword(N_("This e-mail address and password do not belong together."))
        return await self.store.write(lambda tx: self.begin(tx, person, agent, address))

    def begin(self, tx: Connection, person: Person, agent: str, address: str) -> SignedIn:
        """Begin a session of `person` in `tx`: his identity is proven."""
        now = to_ms(self.ambient.clock.now())
        cookie, csrf = new_secret(), new_secret()
        expires = now + self._lifetime_ms
        agent = agent[:_AGENT_CHARS_MAX]
        row = {
            "hash": digest(cookie), "person": person.id, "csrf": csrf, "agent": agent, "created_ms": now,
            "seen_ms": now, "expires_ms": expires,
        }  # fmt: skip
        tx.execute(delete(sessions).where(sessions.c.expires_ms <= now))
        tx.execute(insert(sessions).values(row))
        tx.execute(update(people).where(people.c.id == person.id).values(seen_ms=now))
        by = By("person", person.id, person.name, address)
        fact = Fact(
            "person.signed_in", person.id, now, {"by": by.as_data(), "email": person.email, "agent": agent}
        )
        append_facts(tx, self.ambient, PRODUCER, [fact])
        return SignedIn(cookie, Session(digest(cookie), person, csrf, agent, now, now, expires))

    async def find(self, cookie: str) -> Session | None:
        """Answer the session of a cookie, its expiry moved on, or None."""
        now = to_ms(self.ambient.clock.now())
        hashed = digest(cookie)
        session = await self.store.read(lambda tx: rows.find_session(tx, hashed, now))
        if session is not None and now - session.seen_ms >= _ROLL_MS:
            await self.store.write(lambda tx: self._roll(tx, session, now))
        return session

    async def sign_out(self, session: Session, *, address: str) -> None:
        """End one session."""
        await self.store.write(lambda tx: self._end(tx, session, address))

    def end_all(self, tx: Connection, person: str, *, but: str = "") -> int:
        """End every session of a person except the one with the hash `but`; answer how many."""
        done = tx.execute(delete(sessions).where(sessions.c.person == person, sessions.c.hash != but))
        return done.rowcount

    @property
    def _lifetime_ms(self) -> int:
        return self.settings.session_hours * 3_600_000

    def _roll(self, tx: Connection, session: Session, now: int) -> None:
        values = {"seen_ms": now, "expires_ms": now + self._lifetime_ms}
        tx.execute(update(sessions).where(sessions.c.hash == session.hash).values(values))
        tx.execute(update(people).where(people.c.id == session.person.id).values(seen_ms=now))

    def _end(self, tx: Connection, session: Session, address: str) -> None:
        tx.execute(delete(sessions).where(sessions.c.hash == session.hash))
        by = By("person", session.person.id, session.person.name, address)
        now = to_ms(self.ambient.clock.now())
        append_facts(
            tx,
            self.ambient,
            PRODUCER,
            [Fact("person.signed_out", by.id, now, {"by": by.as_data(), "email": session.person.email})],
        )

    def _failed(self, tx: Connection, person: Person | None, address: str) -> None:
        """Write down a failed sign-in; what was typed may be a password, so it is not kept."""
        now = to_ms(self.ambient.clock.now())
        data = {
            "email": person.email if person else "",
            "reason": "disabled" if person and person.disabled_ms else "wrong",
            "address": address,
            "known": person is not None,
            "disabled": bool(person and person.disabled_ms),
        }
        fact = Fact("person.sign_in_failed", person.id if person else "", now, data)
        append_facts(tx, self.ambient, PRODUCER, [fact])
