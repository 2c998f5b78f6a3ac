"""What can be changed in the portal, and by which rules it refuses. Each effect goes into the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.traffilog import portal_xml
from simulators.traffilog.models import Unit, Vehicle
from simulators.traffilog.portal_reads import Form, Handler

if TYPE_CHECKING:
    from simulators.traffilog.upstream import Upstream


class Writes:
    """Nothing is remembered of a request: what is asked twice is done twice."""

    def __init__(self, up: Upstream) -> None:
        self.up = up

    def table(self) -> dict[str, Handler]:
        return {
            "SAVE_VHCL_ACTIVATION_NEW": self.save,
            "DEACTIVATE_VEHICLE_HIST": self.deactivate,
            "ORDER_SAVE": self.order,
            "ASSET_BASIC_SAVE": self.move,
        }

    def save(self, form: Form, clients: tuple[str, ...]) -> str:
        """Activate a unit in a vehicle: plate, serial, model. The company stays what it is."""
        up, vehicle = self.up, self.up.vehicles.get(form.get("VEHICLE_ID", ""))
        if vehicle is None:
            return portal_xml.failed("SAVE_VHCL_ACTIVATION_NEW")
        serial = _serial(form.get("INNER_ID", ""))
        unit = up.units.get(serial)
        about = {"vehicle_id": vehicle.id, "serial": serial}
        if (refusal := self._refuses(vehicle, unit, serial, form)) or (
            up.rules.take("portal-link-failed", **about) is not None
        ):
            return portal_xml.refused(refusal or "Failed to link unit")
        if up.rules.take("portal-save-ignored", **about) is None:
            self._activate(vehicle, unit, form)
        return portal_xml.done("SAVE_VHCL_ACTIVATION_NEW")

    def _refuses(self, vehicle: Vehicle, unit: Unit | None, serial: str, form: Form) -> str:
        """Answer the portal's words, empty where it agrees."""
        if serial and (unit is None or serial != _serial(form.get("DIAL_NUMBER", ""))):
            return "Failed to link unit"
        carrier = self.up.vehicle_of(serial) if serial else None
        if carrier is not None and carrier is not vehicle:
            return "Failed to link unit"
        if vehicle.serial and serial and vehicle.serial != serial:
            return "Editing unit number is not allowed"
        values = [part.partition(":")[2] for part in form.get("FIELD_VALUE", "").split(",")]
        if not any(values):
            return "Field value is mandatory"
        return ""

    def _activate(self, vehicle: Vehicle, unit: Unit | None, form: Form) -> None:
        up = self.up
        if unit is not None and vehicle.serial != unit.serial:
            # A fresh activation: the registry of modules begins anew.
            some, full = up.draw(up.pace.registry_some_s), up.draw(up.pace.registry_full_s)
            unit.forget_modules(up.now(), some, full)
        vehicle.saved = dict(form)
        vehicle.serial = unit.serial if unit else ""
        vehicle.plate = form.get("LICENSE_NMBR", "")
        vehicle.asset_type = form.get("ASSET_TYPE", vehicle.asset_type)
        vehicle.field_ids = form.get("FIELD_IDS", vehicle.field_ids)
        vehicle.field_value = form.get("FIELD_VALUE", vehicle.field_value)
        vehicle.unit_type_id = form.get("UNIT_TYPE_ID", vehicle.unit_type_id)
        vehicle.firmware_type_id = form.get("FIRMWARE_TYPE_ID", vehicle.firmware_type_id)
        if form.get("ASSIGNED_VEHICLE_SETTING_ID", "-1") not in ("-1", ""):
            vehicle.assigned_setting = form["ASSIGNED_VEHICLE_SETTING_ID"]
        up.ledger.add(
            up.now(),
            "activation",
            vehicle.id,
            comment=form.get("ACCOSSORIES_COMMENTS", ""),
            serial=vehicle.serial,
            plate=vehicle.plate,
        )

    def deactivate(self, form: Form, clients: tuple[str, ...]) -> str:
        """Take the unit out of a vehicle; its plate stays. Also where there is none any more."""
        up, vehicle = self.up, self.up.vehicles.get(form.get("VEHICLE_ID", ""))
        known = vehicle is not None and vehicle.plate == form.get("LICENSE_NMBR")
        if vehicle is None or not known or form.get("REASON_CODE") != "5501":
            return portal_xml.failed("DEACTIVATE_VEHICLE_HIST")
        serial = vehicle.serial
        if up.rules.take("portal-save-ignored", vehicle_id=vehicle.id, serial=serial) is None:
            vehicle.serial = ""
            comment = form.get("COMMENTS", "")
            up.ledger.add(up.now(), "deactivation", vehicle.id, comment=comment, serial=serial)
        return portal_xml.done("DEACTIVATE_VEHICLE_HIST")

    def order(self, form: Form, clients: tuple[str, ...]) -> str:
        """Order a unit: a stock vehicle without plate appears a moment later."""
        up, client = self.up, self.up.clients.get(form.get("CLIENT_ID", ""))
        if client is None or form.get("ORDERID") != "-1":
            return portal_xml.failed("ORDER_SAVE")
        order_id = up.new_order_id()
        rule = up.rules.take("portal-order-hidden", client_id=client.id)
        seconds = rule.number("delay_s", 60.0) if rule is not None else up.pace.order_visible_s
        vehicle = Vehicle(
            up.new_vehicle_id(),
            "",
            client.id,
            client.root_group,
            orders=[order_id],
            visible_from=up.later(seconds),
        )
        up.vehicles[vehicle.id] = vehicle
        remarks = form.get("REMARKS", "")
        up.ledger.add(up.now(), "order", client.id, comment=remarks, order_id=order_id, vehicle_id=vehicle.id)
        return portal_xml.done("ORDER_SAVE", ORDER_ID=order_id)

    def move(self, form: Form, clients: tuple[str, ...]) -> str:
        """Change the company of a vehicle, and its model with it."""
        up, vehicle = self.up, self.up.vehicles.get(form.get("VEHICLE_ID", ""))
        client = up.clients.get(form.get("CLIENT_ID", ""))
        if vehicle is None or client is None:
            return portal_xml.failed("ASSET_BASIC_SAVE")
        mine = not clients or client.id in clients
        if not mine or form.get("GROUP_ID") != client.root_group:
            return portal_xml.refused("No privilege to edit")
        if up.rules.take("portal-no-privilege", vehicle_id=vehicle.id) is not None:
            return portal_xml.refused("No privilege to edit")
        if _serial(form.get("UNIT", "")) != vehicle.serial:
            return portal_xml.refused("Editing unit number is not allowed")
        before = vehicle.client_id
        vehicle.client_id, vehicle.group_id = client.id, client.root_group
        vehicle.plate = form.get("ASSET_DESCRIPTION", vehicle.plate)
        vehicle.asset_type = form.get("MODEL_CODE", vehicle.asset_type)
        up.ledger.add(up.now(), "company_change", vehicle.id, before=before, after=client.id)
        return portal_xml.done("ASSET_BASIC_SAVE")


def _serial(text: str) -> str:
    """Answer the 16 digits of a serial however it is written, empty for none."""
    bare = text.strip().lstrip("0")
    return bare.zfill(16) if bare else ""
