"""The connectors there are. A newcomer copies the folder closest in kind and adds one line here."""

from __future__ import annotations

from atalaia.connectors import asterisk, intake, traffilog, wppconnect
from atalaia.connectors.connector import Connector

CONNECTORS: dict[str, Connector] = {
    connector.name: connector
    for connector in (asterisk.CONNECTOR, traffilog.CONNECTOR, wppconnect.CONNECTOR, intake.CONNECTOR)
}
