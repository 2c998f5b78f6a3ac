"""The record of an installation as one line of a spreadsheet: 18 columns, as the old software wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from atalaia.desk.installations import checks
from atalaia.desk.installations.queries import Installation

COLUMNS = (
    "ID", "Data", "Placa", "Serial", "Técnico", "Cliente", "Serviço", "Fabricante", "Modelo", "Ano", "Cor",
    "Chassi", "Local Instalação", "Comentário", "Job ID", "Etiqueta", "Chicote", "CAN",
)  # fmt: skip
SERVICES = {
    "INSTALL": "Instalação",
    "UNINSTALL": "Retirada",
    "MAINT_WITH_SWAP": "Manutenção com troca",
    "MAINT_NO_SWAP": "Manutenção sem troca",
}
Cell = str | int | None


def line_of(one: Installation, sides: Mapping[str, str], zone: ZoneInfo) -> list[Cell]:
    """Answer the 18 values of a saved installation, in the order of `COLUMNS`.

    sides: the words for UP, DOWN, …; one that is not there is kept as it is. Data: dd/mm/yyyy HH:MM, `zone`.
    """
    cadastro = _mapping(one.record.get("cadastro")) or one.form
    vehicle, mount = _mapping(cadastro.get("vehicle")), _mapping(cadastro.get("gsensor"))
    technician = _mapping(cadastro.get("technician"))
    snapshot = _mapping(_mapping(one.record.get("can")).get("snapshot"))
    at_ms = one.saved_ms or one.created_ms
    label, harness = str(mount.get("label_pos") or ""), str(mount.get("harness_pos") or "")
    return [
        one.token, datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).strftime("%d/%m/%Y %H:%M"),
        one.plate, one.serial or None, str(technician.get("nick") or one.technician), one.client_name,
        SERVICES.get(one.service, one.service), str(vehicle.get("manufacturer") or ""),
        str(vehicle.get("model") or ""), str(vehicle.get("year") or ""), str(cadastro.get("cor") or ""),
        str(cadastro.get("chassi") or ""), str(cadastro.get("localInstalacao") or ""), one.comment, one.root,
        sides.get(label, label), sides.get(harness, harness), checks.text_of(snapshot),
    ]  # fmt: skip


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
