"""Who is who for one account: identities, what ties them together, and how sure that is.

A contact is an id of ours. It is made from the first identity under which it was seen and stays; when two
turn out to be one, the younger points to the older and nothing is rewritten, so a person can part them again.
Never by a display name.
Source: contract WhatsApp, section 6.
"""

from __future__ import annotations

from dataclasses import dataclass

from atalaia.connectors.wppconnect.wids import LID, PHONE, Wid, comparable
from atalaia.desk.chats.evidence import Evidence
from atalaia.ids import derived_uuid7
from atalaia.reactions.interpreter import Memory


@dataclass(frozen=True, slots=True)
class Learned:
    """Two identities turned out to be one contact, or are said to be and something stronger says otherwise.

    contact: which contact both are now. merged: the one that was taken into it; `""` when there was none.
    stands: the number that is believed instead, when this one is not.
    """

    lid: Wid
    phone: Wid
    contact: str
    merged: str
    evidence: Evidence
    stands: str = ""


class Contacts:
    """The contacts of one account, in the interpreter's memory.

    Memory: `alias:<identity>` = the contact made for it, never changed; `into:<contact>` = the older one;
    `lid:<digits>` = [number, evidence]; `own:<identity>` = 1.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def first_id(self, wid: Wid) -> str:
        """Answer the contact that was made for this identity, whatever it was merged into later."""
        place = f"alias:{_form(wid)}"
        known = self._memory.get(place)
        if known is None:
            known = self._partner(wid) or derived_uuid7(0, f"contact:{_form(wid)}")
            self._memory.put(place, known)
        return known

    def contact(self, wid: Wid) -> str:
        """Answer the contact this identity belongs to."""
        return self._resolve(self.first_id(wid))

    def phone_of(self, wid: Wid) -> str:
        """Answer the digits of a contact's number, `""` when it is not known."""
        if wid.server == PHONE:
            return wid.user
        return (self._memory.get(f"lid:{wid.user}") or [""])[0] if wid.server == LID else ""

    def is_own(self, wid: Wid) -> bool:
        return self._memory.get(f"own:{_form(wid)}") is not None

    def note_own(self, wid: Wid) -> None:
        if not self.is_own(wid):
            self._memory.put(f"own:{_form(wid)}", 1)

    def learn(self, lid: Wid, phone: Wid, evidence: Evidence) -> Learned | None:
        """Take in that a lid is a number. Answers None when that was known as surely before."""
        if lid.server != LID or phone.server != PHONE:
            return None
        place = f"lid:{lid.user}"
        known: list[object] | None = self._memory.get(place)
        same = known is not None and comparable(str(known[0])) == comparable(phone.user)
        if known is not None and Evidence(int(str(known[1]))) >= evidence:
            if same:
                return None
            stands = str(known[0])
            return Learned(lid, phone, self.contact(lid), "", evidence, stands)
        self._memory.put(place, [phone.user, int(evidence)])
        if same:
            return Learned(lid, phone, self.contact(lid), "", evidence)
        if known is not None:
            self._part(lid)
        return self._merge(lid, phone, evidence)

    def _part(self, lid: Wid) -> None:
        """Undo what weaker evidence had tied together: the lid is a contact of its own again."""
        own = derived_uuid7(0, f"contact:{_form(lid)}")
        self._memory.put(f"alias:{_form(lid)}", own)
        self._memory.delete(f"into:{own}")

    def _merge(self, lid: Wid, phone: Wid, evidence: Evidence) -> Learned:
        seen = [self._memory.get(f"alias:{_form(wid)}") is not None for wid in (lid, phone)]
        if not all(seen):
            # One of them is new: it takes the other's contact, and its messages the same identity.
            older = self.first_id(phone if seen[1] else lid)
            self._memory.put(f"alias:{_form(lid if seen[1] else phone)}", older)
            return Learned(lid, phone, self._resolve(older), "", evidence)
        target, gone = self._resolve(self.first_id(phone)), self._resolve(self.first_id(lid))
        if target == gone:
            return Learned(lid, phone, target, "", evidence)
        self._memory.put(f"into:{gone}", target)
        return Learned(lid, phone, target, gone, evidence)

    def _partner(self, wid: Wid) -> str | None:
        """Answer the contact of the number that a lid is known to be, for a lid seen for the first time."""
        phone = self.phone_of(wid) if wid.server == LID else ""
        return self._memory.get(f"alias:{_form(Wid(phone, PHONE))}") if phone else None

    def _resolve(self, contact: str) -> str:
        while (older := self._memory.get(f"into:{contact}")) is not None:
            contact = older
        return contact


def _form(wid: Wid) -> str:
    """Answer the form in which equal identities are equal."""
    return f"tel:{comparable(wid.user)}" if wid.server == PHONE else str(wid)
