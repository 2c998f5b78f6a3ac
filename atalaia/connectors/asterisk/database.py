"""Database mode: clients, endpoints and ring groups from the tables that Asterisk's realtime uses, and ours.

`ps_endpoints` (Asterisk's; column `id`) joined with `ps_atalaia` (`id`, `client`, `type`, `name`);
`clients` (`code`, `name`, `vhost`, `status`, `record`, `push`, `allow_ips`: the last three as text, `yes` or
`no` and a comma separated list); `ring_groups` (`number`, `client`, `name`, `strategy`, `timeout`, `members`:
comma separated). Columns that are missing keep their defaults. Nothing is ever written, no password is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, MetaData, Table, create_engine, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from atalaia.connectors.asterisk.directory import (
    STRATEGIES,
    TYPES,
    Client,
    Directory,
    Endpoint,
    Problem,
    RingGroup,
)
from atalaia.errors import ConfigError, Unavailable

Row = Mapping[str, Any]


def read_database(url: str) -> Directory:
    """Read the tables; blocking, so call it in a thread. Problems stand in the directory.

    Errors: `ConfigError` when the address cannot be used, `Unavailable` when the database does not answer.
    """
    try:
        engine = create_engine(url)
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise ConfigError("the database's address cannot be used: write it as mysql+pymysql://...") from error
    place = make_url(url).render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            return _Reader(connection).read()
    except SQLAlchemyError as error:
        raise Unavailable(f"the database {place} does not answer: {type(error).__name__}") from error
    finally:
        engine.dispose()


class _Reader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tables = set(inspect(connection).get_table_names())
        self._problems: list[Problem] = []

    def read(self) -> Directory:
        clients = {one.code: one for one in map(_client, self._rows("clients", needed=False))}
        endpoints = {one.number: one for one in self._endpoints(clients)}
        groups = {one.number: one for one in self._ring_groups()}
        return Directory(clients, endpoints, groups, tuple(self._problems))

    def _rows(self, name: str, *, needed: bool = True) -> list[Row]:
        if name not in self._tables:
            if needed:
                self._say(name, "The table does not exist.", "Create it, or leave the database mode.")
            return []
        table = Table(name, MetaData(), autoload_with=self._connection)
        return [dict(row) for row in self._connection.execute(select(table)).mappings()]

    def _endpoints(self, clients: Mapping[str, Client]) -> Iterator[Endpoint]:
        ours = {_text(row, "id"): row for row in self._rows("ps_atalaia")}
        theirs = [_text(row, "id") for row in self._rows("ps_endpoints")]
        for number in theirs:
            row = ours.pop(number, None)
            if row is None:
                self._say(
                    "ps_endpoints", f"Endpoint {number} has no client.", "Add its row to ps_atalaia.", number
                )
            elif _text(row, "type") not in TYPES:
                self._say("ps_atalaia", "There is no such type.", f"Write one of {', '.join(TYPES)}.", number)
            else:
                if clients and _text(row, "client") not in clients:
                    self._say("ps_atalaia", "There is no such client.", "Add it to the clients.", number)
                yield Endpoint(number, _text(row, "client"), _text(row, "type"), _text(row, "name"))
        for number in ours:
            self._say("ps_atalaia", "Asterisk has no such endpoint.", "Add it to ps_endpoints.", number)

    def _ring_groups(self) -> Iterator[RingGroup]:
        for row in self._rows("ring_groups", needed=False):
            number, strategy = _text(row, "number"), _text(row, "strategy") or "ringall"
            if strategy not in STRATEGIES:
                self._say(
                    "ring_groups", "Strategy not known.", f"Write one of {', '.join(STRATEGIES)}.", number
                )
                continue
            members, timeout = _list(row, "members"), _text(row, "timeout")
            seconds = int(timeout) if timeout.isdecimal() else 20
            yield RingGroup(number, _text(row, "client"), _text(row, "name"), strategy, seconds, members)

    def _say(self, table: str, reason: str, remedy: str, number: str = "") -> None:
        kind = f"row {number}" if number else "the table"
        self._problems.append(Problem(f"table {table}", 0, reason, kind, remedy))


def _client(row: Row) -> Client:
    code = _text(row, "code") or _text(row, "client")
    return Client(
        code,
        _text(row, "name") or code,
        _text(row, "vhost") or f"cliente{code}",
        _text(row, "status") or "active",
        _text(row, "record").lower() not in _NO,
        _text(row, "push").lower() not in _NO,
        _list(row, "allow_ips"),
    )


_NO = {"no", "n", "false", "0", "nao", "não"}


def _text(row: Row, key: str) -> str:
    value = row.get(key)
    return "" if value is None else str(value).strip()


def _list(row: Row, key: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in _text(row, key).split(",") if one.strip())
