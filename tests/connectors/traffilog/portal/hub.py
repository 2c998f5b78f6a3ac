"""A hub in a process of its own that only does the portal's jobs; to be killed.

Usage: python -m tests.connectors.traffilog.portal.hub FOLDER
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from atalaia import serve
from atalaia.connectors.traffilog import CONNECTOR
from atalaia.connectors.traffilog.portal import PORTAL_JOBS
from atalaia.settings import Settings


async def main(folder: Path) -> None:
    """Work until killed."""
    connectors = {"traffilog": replace(CONNECTOR, run_session=None, jobs=PORTAL_JOBS)}
    async with serve.running(Settings.model_validate({"data_dir": folder}), connectors):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
