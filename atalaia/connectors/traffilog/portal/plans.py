"""What a job would send, in order, without sending it. What only reading can tell stands in braces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from atalaia.connectors.traffilog.portal import forms
from atalaia.connectors.traffilog.portal.forms import Activation, Form
from atalaia.connectors.traffilog.portal.lookups import spellings
from atalaia.connectors.traffilog.portal.params import (
    ChangeCompany,
    Install,
    Resolve,
    Swap,
    Uninstall,
    VerifySchemes,
)
from atalaia.connectors.traffilog.settings import TraffilogSettings
from atalaia.jobs.model import Planned

SURFACE = "portal"
VEHICLE, STOCK, NEW = "{vehicle_id}", "{stock_vehicle_id}", "{new_vehicle_id}"
DAY, NOW, CLIENT, GROUP = "{dd/mm/yyyy}", "{now}", "{client_id}", "{group_id}"
READS, WRITES, MAYBE = "reads", "changes", "changes, only where needed"


def install(settings: Any, params: Install) -> Sequence[Planned]:
    wanted = _activation(VEHICLE, params.plate, params.serial, params.asset_type, params.client_id, params)
    return [
        *_search(params.plate),
        *_search_unit(params.serial),
        _show(forms.activation_of(VEHICLE), READS),
        _show(forms.groups(), READS),
        _show(forms.deactivate(STOCK, "{its plate}", params.installed_by, "auto-deactivate {serial}"), MAYBE),
        _show(forms.save(wanted, {}), f"{WRITES}; the fields of the vehicle's baseline follow"),
        _show(forms.activation_of(VEHICLE), READS),
        _show(_move(params, VEHICLE, params.serial), MAYBE),
    ]


def uninstall(settings: Any, params: Uninstall) -> Sequence[Planned]:
    wanted = _activation(NEW, forms.PARKED, params.serial or "{serial}", "{asset_type}", CLIENT, params)
    return [
        *_search(params.plate),
        _show(forms.activation_of(VEHICLE), READS),
        _show(forms.deactivate(VEHICLE, "{plate}", params.installed_by, params.comment), WRITES),
        _show(forms.activation_of(VEHICLE), READS),
        _show(_order(cast("TraffilogSettings", settings).portal_login), WRITES),
        _show(forms.vehicles(client="{client name}", client_id=CLIENT), READS),
        _show(forms.save(wanted, {}), f"{WRITES}; with what the stock record inherits"),
        _show(forms.activation_of(NEW), READS),
    ]


def swap(settings: Any, params: Swap) -> Sequence[Planned]:
    wanted = _activation(VEHICLE, "{plate}", params.serial_new, "{asset_type}", CLIENT, params)
    return [
        *_search(params.plate),
        *_search_unit(params.serial_new),
        _show(forms.activation_of(VEHICLE), READS),
        _show(forms.deactivate(STOCK, "{its plate}", params.installed_by, "auto-deactivate {serial}"), MAYBE),
        _show(forms.deactivate(VEHICLE, "{plate}", params.installed_by, params.comment), WRITES),
        _show(forms.activation_of(VEHICLE), READS),
        _show(forms.save(wanted, {}), f"{WRITES}; the fields of the vehicle's baseline follow"),
        _show(forms.activation_of(VEHICLE), READS),
    ]


def change_company(settings: Any, params: ChangeCompany) -> Sequence[Planned]:
    return [
        *_search(params.plate),
        _show(forms.groups(), READS),
        _show(_move(params, VEHICLE, "{serial}"), WRITES),
        _show(forms.activation_of(VEHICLE), READS),
    ]


def no_swap(settings: Any, params: Any) -> Sequence[Planned]:
    return _search(params.plate)


def resolve(settings: Any, params: Resolve) -> Sequence[Planned]:
    return [*_search(params.plate), *(_search_unit(params.serial) if params.serial else [])]


def sync_asset_types(settings: Any, params: Any) -> Sequence[Planned]:
    return [_show(forms.asset_types(), READS), _show(forms.vehicles(), READS)]


def verify_schemes(settings: Any, params: VerifySchemes) -> Sequence[Planned]:
    return [_show(forms.activation_of(row.vehicle_id), READS) for row in params.rows]


def _search(plate: str) -> list[Planned]:
    return [_show(forms.vehicles(plate=one), READS) for one in spellings(plate)]


def _search_unit(serial: str) -> list[Planned]:
    return [_show(forms.vehicles(serial=serial), READS), _show(forms.vehicles(plate=serial), READS)]


def _activation(
    vehicle_id: str, plate: str, serial: str, asset_type: str, client_id: str, params: Any
) -> Activation:
    place = str(getattr(params, "place", ""))
    return Activation(
        vehicle_id, plate, serial, asset_type, client_id, DAY, params.installed_by, place, params.comment
    )


def _order(user: str) -> Form:
    return forms.Form(forms.ORDER, tuple(
        (name, {"ORDER_DATE": NOW, "CLIENT_ID": CLIENT, "INSTALLATION_DATE": DAY}.get(name, value))
        for name, value in forms.order("", user, forms.EPOCH).fields
    ))  # fmt: skip


def _move(params: Install | ChangeCompany, vehicle_id: str, serial: str) -> Form:
    name = f"{params.manufacturer} {params.model}".strip() or "{manufacturer model}"
    asset_type = params.asset_type or "{asset_type}"
    return forms.move(
        forms.Asset(vehicle_id, params.plate, params.client_id, GROUP, serial, asset_type, name,
                    "{url}", "{unit type}", "{firmware}")
    )  # fmt: skip


def _show(form: Form, note: str) -> Planned:
    return Planned(SURFACE, form.body(), note)
