"""The HTML5 portal (surface C): vehicle records, units, companies. `PORTAL_JOBS` goes into `CONNECTOR`."""

from __future__ import annotations

from atalaia.connectors.traffilog.portal.asset_types import SYNC_ASSET_TYPES
from atalaia.connectors.traffilog.portal.company import CHANGE_COMPANY
from atalaia.connectors.traffilog.portal.install import INSTALL
from atalaia.connectors.traffilog.portal.resolve import VEHICLE_RESOLVE
from atalaia.connectors.traffilog.portal.swap import NO_SWAP, SWAP
from atalaia.connectors.traffilog.portal.uninstall import UNINSTALL
from atalaia.connectors.traffilog.portal.verify import VERIFY_SCHEMES

PORTAL_JOBS = (
    INSTALL, UNINSTALL, SWAP, NO_SWAP, CHANGE_COMPANY, VEHICLE_RESOLVE, SYNC_ASSET_TYPES, VERIFY_SCHEMES,
)  # fmt: skip
