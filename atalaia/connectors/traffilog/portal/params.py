"""What one asks of the portal: the params of its jobs, checked when they are submitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from atalaia.connectors.traffilog.jobs.asked import COMMENT_CHARS_MAX, Chain
from atalaia.connectors.traffilog.portal.known import vehicle_lock
from atalaia.connectors.traffilog.portal.lookups import normal_plate, normal_serial

SWEEP_ROWS_MAX = 20


def _text(value: Any) -> Any:
    """Take ids as numbers, too: the old clients send both."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _name(value: Any) -> Any:
    """Take a technician as a name or as {"id","nick"}; what a browser makes of an object is no name."""
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).get("nick", "")
    if isinstance(value, str) and "[object" in value:
        raise ValueError("that is no name. Send the technician's name as text.")
    return value


Id = Annotated[str, BeforeValidator(_text), Field(pattern=r"^\d{1,12}$")]
IdOrNone = Annotated[str, BeforeValidator(_text), Field(pattern=r"^\d{0,12}$")]
Serial = Annotated[str, BeforeValidator(_text), Field(pattern=r"^\d{4,20}$")]
SerialOrNone = Annotated[str, BeforeValidator(_text), Field(pattern=r"^(\d{4,20})?$")]
Plate = Annotated[str, Field(min_length=1, max_length=40, pattern=r"[A-Za-z0-9]")]
PlateOrNone = Annotated[str, Field(max_length=40)]
Name = Annotated[str, BeforeValidator(_name), Field(max_length=120)]
ClientName = Annotated[str, Field(min_length=1, max_length=200)]
Text = Annotated[str, Field(max_length=COMMENT_CHARS_MAX)]

_PLATE = "As it is written on the vehicle; a fleet prefix as in “604 - ABC1D23” may stand before it."
_VEHICLE = "Where it is known already: nobody works on the vehicle meanwhile. Empty = found by the plate."
_SCHEME = "Id of the scheme that the vehicle shall run."
_CHAIN = "What goes on after it as one installation. Empty = nothing."
_MODEL_ID = "Id of the vehicle's model, from the list of models in use."


class _Params(BaseModel):
    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, frozen=True)


class _OnVehicle(_Params):
    """What every job on one vehicle is asked with."""

    plate: Plate = Field(title="Plate", description=_PLATE)
    vehicle_id: IdOrNone = Field("", title="Vehicle id", description=_VEHICLE)


class _ByTechnician(_OnVehicle):
    """What every job is asked with that a technician does at the vehicle."""

    installed_by: Name = Field("", title="Technician", description="Who does it, as the portal names people.")
    comment: Text = Field("", title="Comment", description="Kept in the portal, with a mark of this job.")
    chain: Chain | None = Field(None, title="Installation", description=_CHAIN)


class Install(_ByTechnician):
    """Put a unit on a vehicle."""

    serial: Serial = Field(title="Serial", description="Of the unit: digits; it has to be registered.")
    client_id: Id = Field(title="Company id", description="The company that the vehicle shall belong to.")
    client_name: ClientName = Field(title="Company", description="Its name, exactly as in the portal.")
    asset_type: Id = Field(title="Model id", description=_MODEL_ID)
    manufacturer: Text = Field("", title="Manufacturer", description="Of the vehicle.")
    model: Text = Field("", title="Model", description="Of the vehicle.")
    vehicle_setting_id: IdOrNone = Field("", title="Scheme", description=_SCHEME)
    place: Text = Field("", title="Place", description="Where it is installed.")


class Uninstall(_ByTechnician):
    """Take the unit off a vehicle and park it."""

    serial: SerialOrNone = Field(
        "", title="Serial", description="Of the unit that is taken off. Empty = the one on record."
    )


class Swap(_ByTechnician):
    """Replace a vehicle's unit by another one."""

    serial_new: Serial = Field(title="New serial", description="Of the unit that takes over.")
    vehicle_setting_id: IdOrNone = Field(
        "", title="Scheme", description="Id of the scheme to run. Empty = the one that is assigned."
    )
    place: Text = Field("", title="Place", description="Where it is installed.")


class NoSwap(_OnVehicle):
    """Service a vehicle whose unit stays: only finds it. What follows it is the technician's choice."""

    chain: Chain | None = Field(None, title="Installation", description=_CHAIN)


class ChangeCompany(_OnVehicle):
    """Move a vehicle to another company."""

    client_id: Id = Field(title="Company id", description="The company that the vehicle shall belong to.")
    client_name: ClientName = Field(title="Company", description="Its name, exactly as in the portal.")
    asset_type: IdOrNone = Field("", title="Model id", description="Empty = the model on record.")
    manufacturer: Text = Field("", title="Manufacturer", description="Of the vehicle.")
    model: Text = Field("", title="Model", description="Of the vehicle.")


class Resolve(_Params):
    """Find a vehicle by its plate, by the serial of its unit, or by the first that finds one."""

    plate: PlateOrNone = Field("", title="Plate", description=_PLATE)
    serial: SerialOrNone = Field("", title="Serial", description="Asked for where the plate finds nothing.")


class SyncAssetTypes(_Params):
    """Read the models that are in use."""


class SweepRow(_Params):
    """One finished installation to verify. vehicle_setting_id: what the vehicle shall have.

    serial: of the unit that was installed; a vehicle that carries another one by now is left alone. "" = any.
    installation: which one it is, so that its page shows the verdict. resend: a scheme that differs may be
    sent again, unless all of it is only a look. standing: an alert about it stands, so it is looked at,
    however old it is.
    """

    vehicle_id: Id
    client_id: IdOrNone = ""
    vehicle_setting_id: IdOrNone = ""
    service: str = Field(max_length=40)
    done_ms: int = Field(ge=0)
    plate: PlateOrNone = ""
    client_name: Annotated[str, Field(max_length=200)] = ""
    comment: Text = ""
    serial: SerialOrNone = ""
    installation: Annotated[str, Field(max_length=36)] = ""
    resend: bool = True
    standing: bool = False


class VerifySchemes(_Params):
    """Compare assigned schemes with those meant."""

    rows: list[SweepRow] = Field(
        max_length=SWEEP_ROWS_MAX, title="Installations", description="Those to look at, at most 20."
    )
    dry_run: bool = Field(
        True, title="Only look", description="Off = a scheme that differs is sent again by a job of its own."
    )


def plate_lock(plate: str) -> str:
    return f"plate:{normal_plate(plate)}"


def serial_lock(serial: str) -> str:
    return f"serial:{normal_serial(serial)}"


def locks_of(params: Any) -> Sequence[str]:
    """Answer what nobody else may work on meanwhile: plate, vehicle where it is known, and units."""
    given = cast("dict[str, Any]", params.model_dump())
    vehicles = [vehicle_lock(given["vehicle_id"])] if given.get("vehicle_id") else []
    serials = [given[name] for name in ("serial", "serial_new") if given.get(name)]
    plates = [given["plate"]] if given.get("plate") else []
    return [*vehicles, *(plate_lock(one) for one in plates), *(serial_lock(one) for one in serials)]
