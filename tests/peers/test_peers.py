"""The real peers start, fail on request and come back."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from base64 import b64encode
from typing import Any

import asyncpg
import pymysql
import pytest
from playwright.async_api import Browser

from tests.peers.asterisk import SHARED, Asterisk
from tests.peers.mariadb import MariaDB
from tests.peers.postgresql import PostgreSQL
from tests.peers.rabbitmq import RabbitMQ


def ari(peer: Asterisk, path: str) -> Any:
    login = b64encode(f"{peer.user}:{peer.password}".encode()).decode()
    request = urllib.request.Request(peer.ari_url + path, headers={"Authorization": f"Basic {login}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_asterisk_plays_a_real_call_and_says_what_must_be_known_of_it(asterisk: Asterisk):
    played = asterisk.call("answered", ring=0.5, talk=1)

    assert played["ok"], played
    assert [one["channelstatus"] for one in played["expect"]] == ["closed"]
    assert list(asterisk.recordings_dir.rglob("*.wav"))


def test_asterisk_comes_back_after_a_crash(asterisk: Asterisk):
    before = ari(asterisk, "/asterisk/info")["status"]["startup_time"]
    old = asterisk.pid

    asterisk.crash()
    assert asterisk.pid is None
    asterisk.start()

    assert asterisk.pid != old
    assert ari(asterisk, "/asterisk/info")["status"]["startup_time"] >= before


def test_a_paused_asterisk_goes_on_when_resumed(asterisk: Asterisk):
    asterisk.pause()
    asterisk.resume()
    assert ari(asterisk, "/channels") == []


def test_asterisk_16_runs_beside_22(asterisk: Asterisk, asterisk16: Asterisk):
    assert ari(asterisk, "/asterisk/info")["system"]["version"].startswith("22.")
    assert ari(asterisk16, "/asterisk/info")["system"]["version"].startswith("16.")
    assert asterisk16.call("ia", talk=1)["ok"]


async def test_rabbitmq_keeps_what_was_confirmed_over_a_crash(rabbitmq: RabbitMQ):
    queue = next(one for one in rabbitmq.definitions["queues"] if one["vhost"] == "cliente112")["name"]
    await rabbitmq.publish("cliente112", "", queue, b'{"a": 1}', message_id="one")

    await asyncio.to_thread(rabbitmq.crash)
    assert rabbitmq.pid is None
    await asyncio.to_thread(rabbitmq.start)

    (got,) = await rabbitmq.take("cliente112", queue, 1)
    assert (got.body, got.message_id, got.persistent) == ({"a": 1}, "one", True)
    assert await rabbitmq.consume("cliente112", queue) == []


async def test_rabbitmq_loses_and_gains_vhosts(rabbitmq: RabbitMQ):
    await asyncio.to_thread(rabbitmq.delete_vhost, "cliente113")
    await asyncio.to_thread(rabbitmq.add_vhost, "cliente999")
    assert "cliente113" not in rabbitmq.ctl("list_vhosts")


async def test_what_a_test_did_to_rabbitmq_is_mended_before_the_next(rabbitmq: RabbitMQ):
    listed = rabbitmq.ctl("list_vhosts").split()
    assert "cliente113" in listed
    assert "cliente999" not in listed


@pytest.mark.parametrize("how", ["stop", "crash"])
async def test_postgresql_keeps_what_was_committed(postgresql: PostgreSQL, how: str):
    url = postgresql.new_database()
    plain = url.replace("+asyncpg", "")
    connection = await asyncpg.connect(plain)
    await connection.execute("create table kept (n int)")
    await connection.execute("insert into kept values (1)")

    await asyncio.to_thread(getattr(postgresql, how))
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await connection.execute("insert into kept values (2)")
    await asyncio.to_thread(postgresql.start)

    assert postgresql.psql(url, "select n from kept") == "1\n"


def test_mariadb_holds_the_realtime_tables(mariadb: MariaDB):
    database = mariadb.new_database(SHARED / "asterisk" / "realtime" / "schema.sql")

    with (
        pymysql.connect(
            host=database.host,
            port=database.port,
            user=database.user,
            password=database.password,
            database=database.name,
        ) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("show tables")
        assert "ps_endpoints" in {row[0] for row in cursor.fetchall()}


async def test_chromium_shows_a_page(browser: Browser):
    page = await browser.new_page()
    await page.set_content("<h1>Atalaia</h1>")
    assert await page.inner_text("h1") == "Atalaia"
