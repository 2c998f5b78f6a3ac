"""The hub's connection to the test world: Asterisk's address, its text files, the RabbitMQ behind them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from tests.peers.asterisk import Asterisk
from tests.peers.ground import SHARED
from tests.peers.rabbitmq import RabbitMQ

ETC = SHARED / "asterisk" / "etc"
FILES = ("__CLIENTES__.DEF", "endpoints_pjsip.def", "ringgroups.def")


def write_configuration(folder: Path, rabbitmq: RabbitMQ | None = None, port: int | None = None) -> Path:
    """Copy the test world's text files; the RabbitMQ in them is ours (or a proxy's `port` before it)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(ETC / name, folder / name)
        (folder / name).chmod(0o644)
    if rabbitmq is not None:
        text = (ETC / "__MQSERVERS__.DEF").read_text()
        text = re.sub(r"(?m)^port = .*$", f"port = {port or rabbitmq.port}", text)
        (folder / "__MQSERVERS__.DEF").write_text(text)
    return folder


def connection_settings(
    asterisk: Asterisk, etc: Path, *, server: str = "voip1", url: str = "", **more: Any
) -> dict[str, Any]:
    """Answer the settings of a connection to this Asterisk. url: a proxy's address in front of it."""
    return {
        "url": url or asterisk.ari_url.removesuffix("/ari"),
        "user": asterisk.user,
        "password": asterisk.password,
        "server": server,
        "ami_port": asterisk.ami[1],
        "etc_folder": str(etc),
        "recordings_folder": str(asterisk.recordings_dir),
        **more,
    }
