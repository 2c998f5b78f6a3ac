"""The program with the toy among its connectors, for tests that kill it; see `tests.journeys.stable`."""

from __future__ import annotations

import dbos  # noqa: F401  # loaded by the first job otherwise, in every worker anew

import atalaia.connectors
from tests.jobs.toy import CONNECTOR

if __name__ == "__main__":
    atalaia.connectors.CONNECTORS[CONNECTOR.name] = CONNECTOR
    from tests.journeys.stable import main

    main()
