"""The recordings of the contract, as the tests read them."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from random import Random
from typing import Any

import orjson

from atalaia.connectors.traffilog.wire import Token

OWN = Path(__file__).parent / "captures"
SHARED = Path(os.environ.get("ATALAIA_SHARED") or Path(__file__).resolve().parents[4] / "shared")
CONTRACT = SHARED / "contracts" / "traffilog"

FRAGMENTED = OWN / "fragmented-module-state-and-parameters.jsonl.gz"
SCHEME_RUN = OWN / "sb-run-460-steps.jsonl.gz"
COMMAND_RUN = OWN / "gs-run-requests.jsonl.gz"

TOKEN = Token("7D720F32F9C8C067ABD48376B51359C94690685313")
T0 = 1_795_000_000_000


def lines(path: Path) -> list[dict[str, Any]]:
    """Answer the lines of a recording: {"dir", "t_ms", "raw", "json"}."""
    with gzip.open(path) as file:
        return [orjson.loads(line) for line in file]


def texts(path: Path) -> list[str]:
    """Answer what the socket said, as text; what was recorded only as JSON is written anew."""
    return [
        one["raw"] or orjson.dumps(one["json"]).decode()
        for one in lines(path)
        if one["dir"] == "in" and (one["raw"] or one["json"])
    ]


def dice() -> Random:
    return Random(1)
