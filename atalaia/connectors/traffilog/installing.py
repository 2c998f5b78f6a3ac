"""From what a technician filled in to the first job of an installation. Source: contract §11, §12.1."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from atalaia.connectors.traffilog.catalogs import Model, Scheme, choose_scheme
from atalaia.connectors.traffilog.gsensor import read_mount
from atalaia.connectors.traffilog.importing import models_of, schemes_of
from atalaia.desk.catalogs.catalogs import CLIENTS, TECHNICIANS, all_entries
from atalaia.desk.installations.actions import Start
from atalaia.errors import Rejected
from atalaia.jobs.submit import WrongParams

Service = Literal["INSTALL", "UNINSTALL", "MAINT_WITH_SWAP", "MAINT_NO_SWAP"]
KINDS: dict[str, str] = {
    "INSTALL": "traffilog.install",
    "UNINSTALL": "traffilog.uninstall",
    "MAINT_WITH_SWAP": "traffilog.maint_with_swap",
    "MAINT_NO_SWAP": "traffilog.maint_no_swap",
}
WITH_SCHEME = ("INSTALL", "MAINT_WITH_SWAP")
MOUNTED = ("INSTALL", "MAINT_WITH_SWAP")


class Form(BaseModel):
    """What a technician fills in. plate: the real one. serial: of the unit that is there or goes in first.

    serial_new: of the unit that replaces it (`MAINT_WITH_SWAP`). label, harness: which way they point.
    asset_type: the model's number in the portal. vehicle_setting_id: a scheme, where the catalogs name none.
    """

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, str_strip_whitespace=True)

    service: Service
    connection: str = Field(max_length=36)
    plate: str = Field(min_length=1, max_length=40, pattern=r"[A-Za-z0-9]")
    client_id: str = Field("", pattern=r"^\d{0,12}$")
    client_name: str = Field("", max_length=200)
    serial: str = Field("", pattern=r"^(\d{4,20})?$")
    serial_new: str = Field("", pattern=r"^(\d{4,20})?$")
    asset_type: str = Field("", pattern=r"^\d{0,12}$")
    manufacturer: str = Field("", max_length=120)
    model: str = Field("", max_length=160)
    label: str = Field("", max_length=10)
    harness: str = Field("", max_length=10)
    technician_id: str = Field("", max_length=60)
    technician: str = Field("", max_length=120)
    year: str = Field("", max_length=10)
    color: str = Field("", max_length=40)
    chassis: str = Field("", max_length=40)
    place: str = Field("", max_length=200)
    comment: str = Field("", max_length=350)
    vehicle_setting_id: str = Field("", pattern=r"^\d{0,12}$")
    profile: str = Field("", max_length=60)


@dataclass(frozen=True)
class Known:
    """What the catalogs say, read once for a form. clients: name by id; technicians: nick by id."""

    clients: dict[str, str] = field(default_factory=dict[str, str])
    technicians: dict[str, str] = field(default_factory=dict[str, str])
    schemes: list[Scheme] = field(default_factory=list[Scheme])
    models: list[Model] = field(default_factory=list[Model])

    @classmethod
    def read(cls, tx: Connection, client: str = "") -> Known:
        """Answer what is known; models only of this client where it has a list of its own."""
        return cls(
            {one.key: one.name for one in all_entries(tx, CLIENTS)},
            {one.key: one.name for one in all_entries(tx, TECHNICIANS)},
            schemes_of(tx),
            models_of(tx, client),
        )


def start_of(form: Form, known: Known) -> Start:
    """Answer what to start.

    Errors: `WrongParams` that names each field that is missing, unknown to the catalogs, or cannot be: a
    mount that does not exist or is not sent (LEFT with FRONT), a client without a scheme.
    """
    wrong: list[dict[str, str]] = []
    _check_needed(form, wrong)
    client_name = _client(form, known, wrong)
    label, harness = _mount(form, wrong)
    scheme = _scheme(form, known, wrong)
    if wrong:
        raise WrongParams(" ".join(f"{one['field']}: {one['said']}" for one in wrong), wrong)
    technician = form.technician or known.technicians.get(form.technician_id, "")
    serial = form.serial_new if form.service == "MAINT_WITH_SWAP" else form.serial
    chain: dict[str, Any] = {
        "service": form.service, "label": label, "harness": harness, "vehicle_setting_id": scheme,
    }  # fmt: skip
    kept = record_of(form, client_name, technician, label, harness, scheme)
    return Start(
        kind=KINDS[form.service],
        connection=form.connection,
        params={**_params(form, client_name, technician, scheme), "chain": chain | {"record": kept}},
        service=form.service,
        client=form.client_id,
        client_name=client_name,
        plate=form.plate,
        serial=serial,
        technician=technician,
        label=label,
        harness=harness,
        scheme=scheme,
        comment=form.comment,
        form=kept,
    )


def record_of(
    form: Form, client_name: str, technician: str, label: str, harness: str, scheme: str
) -> dict[str, Any]:
    """Answer the part of the record that the technician filled in. Source: contract §14 (`cadastro`)."""
    return {
        "plate_real": form.plate,
        "serial": form.serial_new if form.service == "MAINT_WITH_SWAP" else form.serial,
        "technician": {"id": form.technician_id, "nick": technician},
        "client": {"id": form.client_id, "name": client_name},
        "service": form.service,
        "vehicle": {
            "manufacturer": form.manufacturer, "model": form.model, "year": form.year,
            "asset_type": form.asset_type,
        },
        "gsensor": {"label_pos": label, "harness_pos": harness},
        "vehicle_setting_id": scheme,
        "comment": form.comment,
        "cor": form.color,
        "chassi": form.chassis,
        "localInstalacao": form.place,
    }  # fmt: skip


def _params(form: Form, client_name: str, technician: str, scheme: str) -> dict[str, Any]:
    told: dict[str, Any] = {"plate": form.plate}
    if form.service == "MAINT_NO_SWAP":
        return told
    told |= {"installed_by": technician, "comment": form.comment}
    if form.service == "UNINSTALL":
        return told | {"serial": form.serial}
    told |= {"vehicle_setting_id": scheme, "place": form.place}
    if form.service == "MAINT_WITH_SWAP":
        return told | {"serial_new": form.serial_new}
    return told | {
        "serial": form.serial, "client_id": form.client_id, "client_name": client_name,
        "asset_type": form.asset_type, "manufacturer": form.manufacturer, "model": form.model,
    }  # fmt: skip


def _check_needed(form: Form, wrong: list[dict[str, str]]) -> None:
    needed = {
        "INSTALL": ("client_id", "serial", "asset_type"),
        "UNINSTALL": (),
        "MAINT_WITH_SWAP": ("client_id", "serial_new"),
        "MAINT_NO_SWAP": ("client_id",),
    }[form.service]
    for name in needed:
        if not cast("str", getattr(form, name)):
            wrong.append({"field": name, "said": "Fill it in."})


def _client(form: Form, known: Known, wrong: list[dict[str, str]]) -> str:
    """Answer the client's name. Without a catalog of clients the technician's word is taken."""
    if form.client_id and known.clients and form.client_id not in known.clients:
        said = f"There is no client {form.client_id} in the catalog. Choose one of it, or import it anew."
        wrong.append({"field": "client_id", "said": said})
        return ""
    name = known.clients.get(form.client_id) or form.client_name
    if form.client_id and not name:
        wrong.append({"field": "client_name", "said": "Fill it in."})
    return name


def _mount(form: Form, wrong: list[dict[str, str]]) -> tuple[str, str]:
    if form.service not in MOUNTED or not (form.label or form.harness):
        return "", ""
    try:
        mount = read_mount(form.label, form.harness)
    except Rejected as error:
        wrong.append({"field": "harness", "said": str(error)})
        return "", ""
    return mount.label, mount.harness


def _scheme(form: Form, known: Known, wrong: list[dict[str, str]]) -> str:
    """Answer the scheme by the order of the newest generation; an installation cannot do without."""
    if form.service == "UNINSTALL":
        return ""
    choice = choose_scheme(known.schemes, form.client_id, asked=form.vehicle_setting_id, profile=form.profile)
    if choice is None and form.service in WITH_SCHEME and form.client_id:
        said = "VEHICLE_SETTING_NOT_CONFIGURED: no catalog names a scheme for this client."
        wrong.append({"field": "vehicle_setting_id", "said": said})
    return choice.scheme_id if choice else ""
