"""The invented world of the demo: condominiums, their phones and ring groups, and their files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from atalaia.ids import derived_uuid7
from simulators.asterisk.load import DESTINY, ORIGIN, PAIRS
from simulators.asterisk.models import Phone


@dataclass(frozen=True)
class Client:
    """One client of the VoIP server; `code` is three digits."""

    code: str
    name: str
    record: bool = True
    push: bool = True

    @property
    def vhost(self) -> str:
        return f"cliente{self.code}"


@dataclass(frozen=True)
class Endpoint:
    """One phone. `kind`: apto, unidade, condominio, ia, ring-member."""

    number: str
    client: str
    kind: str
    title: str
    online: bool = True


@dataclass(frozen=True)
class RingGroup:
    """One ring group. `strategy`: ringall, hunt, queue."""

    number: str
    client: str
    name: str
    strategy: str
    timeout_s: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Rabbit:
    """Where the RabbitMQ of the messages is; the demo has none."""

    host: str
    port: int
    user: str
    password: str


@dataclass(frozen=True)
class World:
    """Everything that has a number."""

    clients: list[Client]
    endpoints: list[Endpoint]
    groups: list[RingGroup] = field(default_factory=list[RingGroup])

    def of(self, client: str, *kinds: str) -> list[Endpoint]:
        return [one for one in self.endpoints if one.client == client and one.kind in kinds]

    def phones(self) -> list[Phone]:
        """Answer the phones as the engine wants them."""
        return [Phone(one.number, one.client, one.title, one.online) for one in self.endpoints]


# Code, name, apartments, smartphones: all names are invented.
_CONDOMINIUMS = (
    ("112", "Residencial Jardim das Acácias", 18, 5),
    ("113", "Condomínio Mirante do Vale", 14, 4),
    ("115", "Edifício Porto Sereno", 10, 3),
)
_FAMILIES = (
    "Almeida", "Barros", "Cardoso", "Duarte", "Esteves", "Farias", "Gouveia", "Lacerda", "Meireles",
    "Nogueira", "Pacheco", "Queiroz", "Rezende", "Siqueira", "Teixeira", "Vilela", "Xavier", "Zanella",
)  # fmt: skip


def demo_world() -> World:
    """Answer the demo's condominiums, always the same."""
    clients: list[Client] = []
    endpoints: list[Endpoint] = []
    groups: list[RingGroup] = []
    for code, name, apartments, smartphones in _CONDOMINIUMS:
        clients.append(Client(code, name))
        endpoints += _apartments(code, apartments) + _smartphones(code, smartphones)
        endpoints += [
            Endpoint(f"{code}2001", code, "ring-member", "Portaria 1"),
            Endpoint(f"{code}2002", code, "ring-member", "Portaria 2"),
            Endpoint(f"{code}2003", code, "ring-member", "Zeladoria"),
            Endpoint(f"{code}4001", code, "condominio", "Portao social"),
            Endpoint(f"{code}4002", code, "condominio", "Garagem"),
            Endpoint(f"{code}9001", code, "ia", "Atendente virtual"),
        ]
        desk = (f"{code}2001", f"{code}2002", f"{code}2003")
        groups += [
            RingGroup(f"{code}8001", code, "Portaria", "ringall", 20, desk),
            RingGroup(f"{code}8002", code, "Zeladoria", "hunt", 6, (desk[2], desk[0])),
            RingGroup(f"{code}8009", code, "Fila", "queue", 30, desk[:2]),
        ]
    return World(clients, endpoints, groups)


def load_world() -> World:
    """Answer the world of the load: one client and the endpoints that `Load` uses."""
    numbers = [str(int(first) + index) for first in (ORIGIN, DESTINY) for index in range(PAIRS)]
    client = Client("114", "Carga de Teste", record=False, push=False)
    return World([client], [Endpoint(number, "114", "apto", "") for number in numbers])


def _apartments(code: str, count: int) -> list[Endpoint]:
    made: list[Endpoint] = []
    for index in range(count):
        floor, door = divmod(index, 2)
        family = _FAMILIES[(index * 5 + int(code)) % len(_FAMILIES)]
        title = f"Apto {floor + 1}0{door + 1} {family}"
        # One in nine is not registered: an apartment that cannot be reached is part of life.
        made.append(Endpoint(f"{code}1{index + 1:03d}", code, "apto", title, online=index % 9 != 8))
    return made


def _smartphones(code: str, count: int) -> list[Endpoint]:
    return [
        Endpoint(
            f"{code}3{index + 1:03d}",
            code,
            "unidade",
            f"Celular {_FAMILIES[(index * 7 + int(code)) % len(_FAMILIES)]}",
            online=index % 2 == 0,
        )
        for index in range(count)
    ]


def write_etc(folder: Path, world: World | None = None, *, rabbit: Rabbit | None = None) -> None:
    """Write the four text files of the contract's section 10 for `world` (default: the demo's).

    Without `rabbit` the file of MQ servers names none.
    """
    world = world or demo_world()
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "__CLIENTES__.DEF": _clients(world),
        "__MQSERVERS__.DEF": _mq_servers(rabbit),
        "endpoints_pjsip.def": _endpoints(world),
        "ringgroups.def": _ring_groups(world),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _clients(world: World) -> str:
    blocks = ["# Clients of the simulated VoIP server. Section = client code.\n"]
    for client in world.clients:
        yes_no = {True: "yes", False: "no"}
        blocks.append(
            f"[{client.code}]\nname = {client.name}\nvhost = {client.vhost}\nstatus = active\n"
            f"record = {yes_no[client.record]}\npush = {yes_no[client.push]}\nallow_ips =\n"
        )
    return "\n".join(blocks)


def _mq_servers(rabbit: Rabbit | None) -> str:
    head = "# RabbitMQ servers, in order of preference.\n"
    if rabbit is None:
        return head + "# The simulated server has none.\n"
    return head + (
        f"[mq1]\nhost = {rabbit.host}\nport = {rabbit.port}\nuser = {rabbit.user}\n"
        f"password = {rabbit.password}\ntls = no\n"
    )


def _endpoints(world: World) -> str:
    lines = ["; Endpoints of the simulated VoIP server: one line each."]
    for one in world.endpoints:
        guid = derived_uuid7(1_750_000_000_000, f"endpoint:{one.number}")
        # Not a secret: nothing but the simulator accepts it.
        word = hashlib.blake2b(one.number.encode(), digest_size=6).hexdigest()
        lines.append(
            f"#include pjsip/{one.number}.pjsip ; Endpoint:{one.number} CLI:{one.client} TYPE:{one.kind} "
            f"PW:demo-only-{word} GUID:{guid}"
        )
    return "\n".join(lines) + "\n"


def _ring_groups(world: World) -> str:
    lines = ["; Ring groups of the simulated VoIP server."]
    for group in world.groups:
        members = ",".join(group.members)
        lines.append(
            f"; RingGroup:{group.number} CLI:{group.client} NAME:{group.name} STRATEGY:{group.strategy} "
            f"TIMEOUT:{group.timeout_s} MEMBERS:{members}"
        )
        lines += [*_extension(group), ""]
    return "\n".join(lines) + "\n"


def _extension(group: RingGroup) -> list[str]:
    number, limit = group.number, group.timeout_s
    if group.strategy == "queue":
        return [
            f"exten => {number},1,Gosub(record,s,1(${{DEST}}))",
            " same => n,Answer()",
            f" same => n,Queue({number},,,,{limit})",
            " same => n,Hangup(19)",
        ]
    if group.strategy == "hunt":
        return [f"exten => {number},1,Gosub(dial-hunt,s,1({'-'.join(group.members)},{limit}))"]
    targets = "&".join(f"PJSIP/{member}" for member in group.members)
    return [f"exten => {number},1,Gosub(dial-group,s,1({targets},{limit}))"]
