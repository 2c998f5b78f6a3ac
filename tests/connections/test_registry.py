"""Where the settings of a connection lie: in the open, or sealed."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, SecretStr
from sqlalchemy import select

from atalaia.connections.registry import Registry
from atalaia.secretbox import SecretBox
from atalaia.store.tables import connections


class Server(BaseModel):
    host: str
    password: SecretStr


class Deep(BaseModel):
    url: str
    servers: list[Server]


async def test_a_field_that_holds_a_secret_anywhere_is_sealed_and_comes_back_whole(sqlite, tmp_path: Path):
    store = await sqlite.open()
    registry = Registry({"deep": Deep}, SecretBox.from_file(tmp_path / "secret.key"))
    settings = Deep(url="http://a", servers=[Server(host="b", password=SecretStr("canary-of-a-server"))])

    await store.write(lambda tx: registry.create(tx, "c1", "deep", "Deep", settings, 1))

    row = await store.read(lambda tx: tx.execute(select(connections)).one())
    assert json.loads(row.settings) == {"url": "http://a"}
    assert "canary-of-a-server" not in f"{row.settings} {row.secrets}"
    read = await store.read(lambda tx: registry.get(tx, "c1"))
    assert read is not None
    assert read.settings == settings
