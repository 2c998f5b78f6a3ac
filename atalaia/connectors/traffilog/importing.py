"""The telematics catalogs as entries that people keep: from files into the house, and back for a choice.

They are the house's, not a connection's: the files name clients and schemes by the portal's ids alone, which
all accounts of an operator share. Keys: a client's id; `client:source:profile:scheme`; `client:asset type`
(client "" in the general list); a technician's id; `LABEL|HARNESS`; a side. Source: contract §13.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

from sqlalchemy import Connection

from atalaia.connectors.traffilog.catalog_files import read_catalog
from atalaia.connectors.traffilog.catalogs import Catalog, Command, Model, Problem, Scheme, Source
from atalaia.connectors.traffilog.gsensor import SIDES, mounts, read_mount
from atalaia.desk.catalogs.catalogs import (
    CLIENTS,
    LABELS,
    MODELS,
    MOUNTS,
    SCHEMES,
    TECHNICIANS,
    Catalogs,
    Counts,
    Item,
    all_entries,
)
from atalaia.errors import ConfigError, Rejected
from atalaia.jobs.submit import WrongParams

_DIGITS = re.compile(r"\d{1,12}", re.ASCII)

# How the exports call the sides. Source: contract §14.
SIDE_WORDS = {
    "UP": "CIMA", "DOWN": "BAIXO", "LEFT": "ESQUERDA", "RIGHT": "DIREITA", "FRONT": "FRENTE",
    "BACK": "TRASEIRA",
}  # fmt: skip


def items_of(catalog: Catalog) -> dict[str, list[Item]]:
    """Answer what files hold as entries, by catalog. A mount that may not be sent is kept with why."""
    return {
        CLIENTS: [Item(key, name, {"id": key, "name": name}, key) for key, name in catalog.clients.items()],
        SCHEMES: [scheme_item(one) for one in catalog.schemes],
        MODELS: _models(catalog.models),
        TECHNICIANS: [
            Item(one.id, one.nick, {"id": one.id, "nick": one.nick}) for one in catalog.technicians
        ],
        MOUNTS: [mount_item(one) for one in catalog.commands],
    }


def put(
    tx: Connection, catalogs: Catalogs, catalog: Catalog, *, by: str, source: str
) -> tuple[dict[str, Counts], list[Problem]]:
    """Put what files hold into the house, as one batch; answer what changed, and what could not be read."""
    batch = catalogs.ambient.ids.new()
    found = {
        name: catalogs.put(tx, name, items, by=by, source=source, batch=batch)
        for name, items in items_of(catalog).items()
        if items
    }
    return found, catalog.problems


def read_files(files: Iterable[tuple[str, bytes]]) -> Catalog:
    """Read files that somebody sent, as (name, content); one of no known form is a problem like others."""
    whole = Catalog()
    for name, content in files:
        try:
            whole.add(read_catalog(name, content))
        except ConfigError as error:
            whole.problems.append(Problem(name, "", "", "unreadable", str(error), "It was not imported."))
    return whole


def import_all(
    tx: Connection, catalogs: Catalogs, catalog: Catalog, *, by: str, source: str
) -> dict[str, Counts]:
    """Put what files hold, and the rule's where nobody wrote others; answer what the files changed."""
    found, _ = put(tx, catalogs, catalog, by=by, source=source)
    put_rules(tx, catalogs, by=by)
    return found


def put_rules(tx: Connection, catalogs: Catalogs, *, by: str) -> dict[str, Counts]:
    """Put the mounts that the rule gives, and the words for the sides, where nobody wrote others."""
    given = [Command(one.label, one.harness, one.command, True) for one in mounts()]
    wanted = {
        MOUNTS: [mount_item(one) for one in given],
        LABELS: [Item(side, SIDE_WORDS[side], {"side": side, "word": SIDE_WORDS[side]}) for side in SIDES],
    }
    found: dict[str, Counts] = {}
    for name, items in wanted.items():
        there = {one.key for one in all_entries(tx, name)}
        missing = [item for item in items if item.key not in there]
        found[name] = catalogs.put(tx, name, missing, by=by, source="rule")
    return found


def scheme_item(one: Scheme) -> Item:
    """Answer the entry of a scheme; of the client's active and text schemes there is one each."""
    single = one.source in ("active", "text")
    place = "" if single else f"{one.profile}:{one.scheme_id}"
    name = one.name or one.scheme_id
    return Item(f"{one.client_id}:{one.source}:{place}", name, asdict(one), one.client_id)


def mount_item(one: Command) -> Item:
    """Answer the entry of a mounting command."""
    return Item(f"{one.label}|{one.harness}", f"{one.label} | {one.harness}", asdict(one))


# What a person fills in for one entry: the fields of its value, the first of them needed.
FIELDS: dict[str, tuple[str, ...]] = {
    CLIENTS: ("id", "name"),
    SCHEMES: ("client_id", "scheme_id", "source", "name", "profile", "default"),
    MODELS: ("id", "manufacturer", "model", "sub_model", "client_id"),
    TECHNICIANS: ("id", "nick"),
    MOUNTS: ("label", "harness"),
    LABELS: ("side", "word"),
}
NEEDED = {SCHEMES: 3, MODELS: 3}  # so many of the first fields must be filled in; elsewhere two
SOURCES: tuple[Source, ...] = get_args(Source)


def item_from(catalog: str, given: Mapping[str, str]) -> Item:
    """Answer the entry that a person filled in. The command of a mount is the one that the rule gives.

    Errors: `WrongParams` by field; also for a mount that cannot be or is not sent (LEFT with FRONT).
    """
    value = {name: given.get(name, "").strip() for name in FIELDS[catalog]}
    wrong = [
        {"field": name, "said": "Only digits, and not too many."}
        for name in ("id", "client_id", "scheme_id")
        if catalog in (CLIENTS, SCHEMES, MODELS) and value.get(name) and not _DIGITS.fullmatch(value[name])
    ]
    needed = FIELDS[catalog][: NEEDED.get(catalog, 2)]
    wrong += [{"field": name, "said": "Fill it in."} for name in needed if not value[name]]
    if catalog == SCHEMES and value["source"] not in SOURCES:
        wrong.append({"field": "source", "said": "That does not fit."})
    if catalog == LABELS and value["side"] not in SIDES:
        wrong.append({"field": "side", "said": "That does not fit."})
    if wrong:
        raise WrongParams("Some fields need another look.", wrong)
    match catalog:
        case "clients":
            return Item(value["id"], value["name"], value, value["id"])
        case "schemes":
            scheme: dict[str, Any] = {**value, "default": bool(value["default"])}
            return scheme_item(Scheme(**scheme))
        case "models":
            return _models([Model(**value)])[0]
        case "technicians":
            return Item(value["id"], value["nick"], value)
        case "mounts":
            try:
                mount = read_mount(value["label"], value["harness"])
            except Rejected as error:
                raise WrongParams(str(error), [{"field": "harness", "said": str(error)}]) from None
            return mount_item(Command(mount.label, mount.harness, mount.command, True))
        case _:
            return Item(value["side"], value["word"], value)


def schemes_of(tx: Connection) -> list[Scheme]:
    """Answer every scheme, for `choose_scheme`."""
    return [Scheme(**_known(Scheme, one.value)) for one in all_entries(tx, SCHEMES)]


def models_of(tx: Connection, client: str = "") -> list[Model]:
    """Answer the models of a client, or the general list when the client has none of its own."""
    found = [Model(**_known(Model, one.value)) for one in all_entries(tx, MODELS)]
    own = [one for one in found if client and one.client_id == client]
    general = [one for one in found if not one.client_id]
    if not own:
        return general
    named = {one.id: one for one in general}
    return [one if one.model else named.get(one.id, one) for one in own]


def side_words(tx: Connection) -> dict[str, str]:
    """Answer how the sides of a mount are called in exports."""
    kept = {one.key: str(one.value.get("word") or "") for one in all_entries(tx, LABELS)}
    return {side: kept.get(side) or SIDE_WORDS[side] for side in SIDES}


def _models(models: Sequence[Model]) -> list[Item]:
    return [
        Item(
            f"{one.client_id}:{one.id}",
            " ".join(part for part in (one.manufacturer, one.model, one.sub_model) if part) or one.id,
            asdict(one),
            one.client_id,
        )
        for one in models
    ]


def _known(kind: type[Any], value: Mapping[str, Any]) -> dict[str, Any]:
    names: Iterable[str] = kind.__dataclass_fields__
    return {name: value[name] for name in names if name in value}
