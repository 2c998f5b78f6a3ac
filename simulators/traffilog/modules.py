"""The module registry of a unit: its rows, and how it grows anew after an activation."""

from __future__ import annotations

from datetime import datetime

from simulators.traffilog.models import Row, Unit, wire_time

GREEN, RED, GREY, ORANGE = "#008000", "#ff0000", "#808080", "#ffa500"
# Module, sub-module, and the flags (active, was_ok, ok) most recorded vehicles had.
# Source: the recorded cycles of six vehicles; TEMP, TPMS and other repeat as they do there.
_ALL: tuple[tuple[str, str, str], ...] = (
    ("ALCO_LOCK_MOUDLE_TYPE", "DCDC_FTDI_EXT_BOARD", "000"),
    ("ALL", "ALL", "111"),
    ("ALL", "ALL", "000"),
    ("ALUKA", "IRMA_SUB_TYPE_4", "000"),
    ("ALUKA", "SMART_ALUKA", "000"),
    ("BLACKBOX", "BLACKBOX_MODULE", "111"),
    ("BUMPER_DETECTION", "BUMPER_DETECTION_MODULE", "000"),
    ("CAN", "CAN0", "111"),
    ("CAN", "CAN1", "111"),
    ("CAN", "other", "000"),
    ("COLLISION", "COLLISION", "111"),
    ("GPS", "ALL", "110"),
    ("GPS", "other", "111"),
    ("GSENSOR", "GSENSOR_3D_WITH_FIFO", "111"),
    ("J1708", "J1708", "000"),
    ("KEYPAD", "KEYPAD_3x2_MODULE", "000"),
    ("KEYPAD", "KEYPAD_4x3", "000"),
    ("KEYPAD", "KEYPAD_6KEY_CIRCULAR_MODULE", "000"),
    ("KEYPAD", "KEYPAD_DALLAS_IBUTTON", "000"),
    ("KEYPAD", "KEYPAD_RAMZOR", "111"),
    ("MODEM", "MODEM_QUECTEL_BG600L_MODULE", "111"),
    ("MOVON", "MOVON_FATIGUE_MODULE", "000"),
    ("MOVON", "MOVON_MDAS_MODULE", "000"),
    ("OBD", "OBD_CAN_BUS_ISO_15765", "000"),
    ("OW_ADC12CH", "OW_ADC12CH", "000"),
    ("PLL", "OBD_CAN_BUS_ISO_15765", "011"),
    ("POWER_SYSTEM", "BATTERY_CHARGER", "111"),
    ("RFTPMS", "RFTPMS_MODULE", "000"),
    ("TEMP", "TEMP0", "000"),
    ("TEMP", "TEMP1", "000"),
    ("TEMP", "TEMP2", "000"),
    ("TEMP", "TEMP3", "000"),
    ("TicketMachine", "TICKET_MACHINE_MODULE", "000"),
    ("TPMS", "other", "000"),
    ("TPMS", "other", "000"),
    ("WEIGHT_MACHINE", "WEIGHT_MACHINE_MODULE", "000"),
    ("other", "other", "000"),
    ("other", "other", "000"),
    ("other", "other", "000"),
    ("other", "other", "000"),
    ("other", "other", "000"),
    ("other", "other", "000"),
)
# The unit's own modules come first, the buses last.
_OWN = ("BLACKBOX", "COLLISION", "GPS", "GSENSOR", "MODEM", "POWER_SYSTEM", "KEYPAD", "TEMP")
FEW = 11


def _flags(unit: Unit, module: str, sub: str, usual: str) -> str:
    buses = {"CAN0": unit.buses[0], "CAN1": unit.buses[1]}
    if module == "CAN" and sub in buses:
        return "111" if buses[sub] else "100"
    if module == "J1708":
        return "111" if unit.buses[2] else "000"
    return usual


def _known(unit: Unit, now: datetime, partial: bool) -> list[tuple[str, str, str]]:
    full = list(_ALL[: unit.modules])
    since = unit.registry_from
    age_s = None if since is None else (now - since).total_seconds()
    if age_s is not None and age_s < unit.registry_some_s:
        return []
    if partial or (age_s is not None and age_s < unit.registry_full_s):
        return [row for row in full if row[0] in _OWN][:FEW]
    return full


def rows(unit: Unit, now: datetime, *, partial: bool = False) -> list[Row]:
    """Answer the rows of `get_monitor_module_state`: none, some of the unit's own, or all with their buses.

    `id` is the number of the row in the list, so it changes whenever a module appears.
    """
    moment = wire_time(unit.last_packet.replace(second=0, microsecond=0))
    answer: list[Row] = []
    for number, (module, sub, usual) in enumerate(_known(unit, now, partial), start=1):
        active, was_ok, ok = (flag == "1" for flag in _flags(unit, module, sub, usual))
        error = active and was_ok and not ok
        answer.append(
            {
                "id": str(number),
                "template_name": "module_state",
                "module_descr": module,
                "sub_module_descr": sub,
                "color": _color(active, was_ok, ok),
                "last_update_date": moment,
                "active": str(int(active)),
                "active_color": GREEN if active else RED,
                "was_ok": str(int(was_ok)),
                "was_ok_color": GREEN if was_ok else RED,
                "ok": str(int(ok)),
                "ok_color": GREEN if ok else RED,
                "error": str(int(error)),
                "error_descr": f"{module}_NO_ACTIVE_ERROR_CODE" if error else "",
            }
        )
    return answer


def _color(active: bool, was_ok: bool, ok: bool) -> str:
    if active:
        return GREEN if ok else RED
    return GREY if was_ok else ORANGE
