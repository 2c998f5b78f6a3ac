"""The invented world: whose phones there are, who writes to them, which channels the gateway knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from simulators.wppconnect.models import GROUP, Account, Group, Person

_FIRST = ("Ana", "Bruno", "Carla", "Diego", "Elisa", "Fábio", "Gisele", "Hugo", "Íris", "João", "Lia", "Nuno")
_LAST = ("Exemplo", "Modelo", "Amostra", "Fictícia", "Ensaio", "Teste")
_SHOPS = ("Loja Exemplo", "Padaria Modelo", "Oficina Amostra", "Mercado Ensaio")
_GROUPS = ("Plantão da portaria", "Condomínio Jequitibá", "Entregas do dia", "Manutenção")


@dataclass
class PhoneOwner:
    """One phone beside the session of the same name. `paired`: it was linked before the world began."""

    session: str
    account: Account
    people: list[Person] = field(default_factory=list[Person])
    groups: list[Group] = field(default_factory=list[Group])
    paired: bool = True


@dataclass
class World:
    """Everything that is there before anybody asks.

    `channels` are those of the gateway's `sessions.json`; `aliases` lead from a channel's id to the name
    of its session. `strangers` are numbers that are not on the network, beside all that end in 9999.
    """

    owners: list[PhoneOwner]
    channels: list[str] = field(default_factory=list[str])
    aliases: dict[str, str] = field(default_factory=dict[str, str])
    strangers: set[str] = field(default_factory=set[str])


def people(count: int, seed: int) -> list[Person]:
    """Answer people of one seed: known and unknown to the address book, businesses, some by lid already."""
    random = Random(seed)
    made: list[Person] = []
    for place in range(count):
        mobile = place % 3 > 0
        number = f"5511{'9' if mobile else ''}5550{(seed * 977 + place * 7 + 100) % 9990:04d}"
        business = place % 7 == 5
        name = random.choice(_SHOPS) if business else f"{random.choice(_FIRST)} {random.choice(_LAST)}"
        made.append(
            Person(
                number,
                f"15{random.randrange(10**13):013d}" if place % 11 else f"6{random.randrange(10**13):013d}",
                pushname=name,
                name="" if place % 4 == 3 or business else name,
                business=business,
                migrated=place % 5 == 4,
                paired=place % 10 != 9,
            )
        )
    # Two of one seed must not share a number, whatever the arithmetic says.
    return list({one.number: one for one in made}.values())


def groups(of: list[Person], count: int, seed: int) -> list[Group]:
    """Answer groups of three to seven of these people."""
    random = Random(seed)
    return [
        Group(
            f"120363{seed % 1000:03d}{place:09d}{GROUP}",
            _GROUPS[place % len(_GROUPS)],
            [one.handle for one in random.sample(of, min(len(of), random.randint(3, 7)))],
        )
        for place in range(count)
    ]


def owner(session: str, number: str, seed: int, *, contacts: int = 20, paired: bool = True) -> PhoneOwner:
    """Answer a phone with contacts and two groups."""
    known = people(contacts, seed)
    account = Account(number, f"19{seed:013d}", session)
    return PhoneOwner(session, account, known, groups(known, 2 if contacts > 2 else 0, seed), paired)


def demo_world() -> World:
    """Answer two channels whose phones are paired; the first is known by two spellings."""
    return World(
        [owner("Canal Um", "551155500201", 1), owner("CanalDois", "551155500202", 2)],
        channels=["canalum", "CanalDois"],
        aliases={"canalum": "Canal Um"},
    )


def load_world(sessions: int, *, contacts: int = 3) -> World:
    """Answer so many sessions with paired phones and few contacts, for loads."""
    owners = [
        owner(f"load{place:05d}", f"55119{60_000_000 + place}", 10 + place, contacts=contacts)
        for place in range(sessions)
    ]
    return World(owners, channels=[one.session for one in owners])
