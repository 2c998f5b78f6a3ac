"""Database mode against the database that Asterisk's realtime really uses."""

from __future__ import annotations

from atalaia.connectors.asterisk.database import read_database
from tests.peers.ground import SHARED
from tests.peers.mariadb import MariaDB


def test_endpoints_are_read_from_the_tables_of_a_mariadb(mariadb: MariaDB):
    folder = SHARED / "asterisk" / "realtime"
    database = mariadb.new_database(folder / "schema.sql", folder / "example.sql")

    directory = read_database(database.url)

    assert {number: (one.client, one.type) for number, one in directory.endpoints.items()} == {
        "1131101": ("113", "apto"),
        "1131102": ("113", "apto"),
    }
