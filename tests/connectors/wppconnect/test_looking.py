"""What was found missing by somebody else than a look: when it names a session deaf, and when it does not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, cast

import pytest

from atalaia.ambient import Ambient
from atalaia.clock import HeldClock, to_ms
from atalaia.connections.recovery import Found
from atalaia.connections.silence import Rhythm
from atalaia.connections.truth import Truth
from atalaia.connectors.wppconnect.door import ChatHead, Claim, Word
from atalaia.connectors.wppconnect.looking import BROUGHT_IN, Looker
from atalaia.connectors.wppconnect.server import ServerDoor
from atalaia.connectors.wppconnect.settings import WppconnectSettings
from atalaia.connectors.wppconnect.wids import Wid
from atalaia.ids import CountedIds
from tests.connections.unasked import Unasked
from tests.connectors.wppconnect.ground import NUMBER, message

BEHIND_S = 120
PROBE_S = 30
WHO = Wid(*NUMBER.split("@"))


class Well:
    """A server whose session is connected and whose page runs; `written` is all that its one chat has."""

    def __init__(self) -> None:
        self.written: list[tuple[str, int]] = []  # key, and when it was sent in whole seconds

    async def status(self) -> Claim:
        return Claim(Word.CONNECTED, "CONNECTED")

    async def check(self) -> bool:
        return True

    async def own_number(self) -> Wid | None:
        return Wid("550000000001", "c.us")

    async def chats(self, count: int | None = None, *, within_s: float | None = None) -> list[ChatHead]:
        newest = [at_s * 1000 for _, at_s in self.written[-1:]]
        return [ChatHead(WHO, at_ms, 0, "", archived=False) for at_ms in newest]

    async def messages(self, chat: Wid, *, count: int, before: str = "") -> list[dict[str, Any]]:
        return [message(key, t=at_s) for key, at_s in self.written[-count:]]


class Notes(Unasked):
    """The house: a held clock, and when a message came by itself last, in seconds after the beginning."""

    def __init__(self) -> None:
        self.clock = HeldClock()
        self.began_ms = to_ms(self.clock.now())
        self.ambient = Ambient(clock=self.clock, ids=CountedIds(), random=random.Random(1))
        self.heard: set[str] = set()  # keys of the messages that came

    @property
    def now_s(self) -> int:
        return to_ms(self.clock.now()) // 1000

    def came(self, at_s: float) -> None:
        self.usual = Rhythm({}, {"messages": self.began_ms + round(at_s * 1000)}, 0)

    def prove(self, plane: str, state: str, **known: Any) -> None:
        return

    async def newest(self, keys: Any, types: Any) -> dict[str, int]:
        return {}

    async def known(self, starts: Sequence[str]) -> set[str]:
        return {start for start in starts if start.rstrip(":").rpartition(":")[2] in self.heard}


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def looker(notes: Notes) -> Looker:
    """Answer a looker whose session was opened at the beginning; ten minutes passed since."""

    async def nobody(*_: Any) -> None:
        raise AssertionError

    settings = WppconnectSettings.model_validate(
        {
            "session_name": "alpha",
            "server_url": "http://127.0.0.1:1",
            "secret_key": "test-only",
            "behind_s": BEHIND_S,
            "probe_every_s": PROBE_S,
        }
    )
    door = cast("ServerDoor", Well())
    return Looker(settings, door, cast("Any", notes), nobody, nobody, notes.began_ms)


async def judged(looker: Looker, notes: Notes, *sent_s: float) -> Truth:
    """Answer how the session is judged, ten minutes after it was opened, when these were brought in."""
    await notes.clock.run_for(600)
    looker.brought_in([notes.began_ms + round(at_s * 1000) for at_s in sent_s])
    found = await looker.glance()
    return found.kind if found is not None else Truth.NONE


async def test_what_a_reading_brought_in_names_the_session_deaf_with_its_evidence(
    looker: Looker, notes: Notes
):
    notes.came(100)
    assert await judged(looker, notes, 300, 200) is Truth.DEAF

    found = await looker.glance()
    assert found is not None
    oldest_ms = notes.began_ms + 200_000
    assert (found.health, found.said, found.missed_ms) == ("sick", BROUGHT_IN, oldest_ms)
    assert found.evidence == {"messages": 2, "oldest_ms": oldest_ms}


@pytest.mark.parametrize(
    ("sent_s", "came_s"),
    [
        ([], 0),
        ([-10.0, 0.0], 0),  # before the session was opened anew
        ([600.0 - BEHIND_S + 1], 0),  # its webhook may still come
        ([200.0, 300.0], 301),  # another one came by itself since
    ],
)
async def test_what_no_webhook_owed_or_was_followed_by_others_is_no_deafness(
    looker: Looker, notes: Notes, sent_s: list[float], came_s: float
):
    notes.came(came_s)
    assert await judged(looker, notes, *sent_s) is Truth.NONE


async def test_what_was_sent_before_a_known_loss_was_over_is_no_deafness(looker: Looker, notes: Notes):
    looker.explain(notes.began_ms + 300_000)
    assert await judged(looker, notes, 250) is Truth.NONE
    assert await judged(looker, notes, 301) is Truth.DEAF


async def test_a_message_that_comes_by_itself_or_a_page_opened_anew_ends_it(looker: Looker, notes: Notes):
    assert await judged(looker, notes, 200) is Truth.DEAF
    notes.came(201)
    assert await judged(looker, notes) is Truth.NONE
    assert await judged(looker, notes, 700) is Truth.DEAF, "and what is lost after it counts anew"
    looker.begin_anew()
    assert await judged(looker, notes) is Truth.NONE


async def write_on(looker: Looker, notes: Notes, seconds: int, *, late_s: int | None) -> list[Found]:
    """Have somebody write each three seconds, glance as a session does, and answer what that found.

    late_s: how long each webhook takes; None = none comes.
    """
    page = cast("Well", looker.server)
    found: list[Found] = []
    looked_s = notes.now_s
    for _ in range(seconds // 3):
        await notes.clock.run_for(3)
        page.written.append((f"K{len(page.written)}", notes.now_s))
        if late_s is not None:
            came = [key for key, at_s in page.written if at_s <= notes.now_s - late_s]
            notes.heard |= set(came)
            if came:
                notes.came(notes.now_s - notes.began_ms // 1000)
        if notes.now_s - looked_s >= looker.again_s:
            looked_s = notes.now_s
            found += [one] if (one := await looker.glance()) is not None else []
    return found


async def test_a_chat_in_which_much_is_written_hides_no_deafness(looker: Looker, notes: Notes):
    brought_in: list[int] = []

    async def catch_up(from_ms: int) -> None:
        brought_in.append(from_ms)

    looker.catch_up = catch_up
    first_s = notes.now_s + 3
    found = await write_on(looker, notes, 2 * PROBE_S, late_s=None)
    assert [(one.health, one.kind) for one in found] == [("not_known", Truth.DEAF)], "within two probes"

    await write_on(looker, notes, BEHIND_S, late_s=None)
    judged = await looker.look()
    assert (judged.health, judged.kind) == ("sick", Truth.DEAF)
    assert judged.missed_ms == brought_in[0]
    assert brought_in[0] <= (first_s + PROBE_S) * 1000, "from the first look that missed something"


async def test_webhooks_that_take_their_time_are_no_deafness_however_much_is_written(
    looker: Looker, notes: Notes
):
    assert await write_on(looker, notes, 10 * PROBE_S, late_s=7) == []


async def test_a_last_word_that_is_missing_is_named_in_time_though_others_come_meanwhile(
    looker: Looker, notes: Notes
):
    # Two servers that fight for one account: each hears some of the messages.
    page = cast("Well", looker.server)
    await notes.clock.run_for(60)
    page.written.append(("lost", notes.now_s - 10))
    found: list[Found | None] = []
    for _ in range(2):
        notes.came((to_ms(notes.clock.now()) - notes.began_ms) / 1000)
        found.append(await looker.glance())
        await notes.clock.run_for(looker.again_s)
    assert [one and (one.health, one.kind) for one in found] == [None, ("not_known", Truth.DEAF)]
