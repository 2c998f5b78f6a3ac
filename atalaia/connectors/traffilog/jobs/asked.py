"""What a job is asked with: shared fields, checked at submission."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Digits = Annotated[str, Field(pattern=r"^\d{1,12}$")]
COMMENT_CHARS_MAX = 400
CLIENT_ID = "The upstream's id of the client: 6 digits."
CLIENT = "Its name, exactly as upstream."
COMMENT = "Shown in the upstream's history, with a mark of this job."
CHAIN = "What goes on after it as one installation. Empty = nothing."


class Chain(BaseModel):
    """The installation that a job is a part of; it travels along the pipeline unchanged.

    label, harness: how the unit is mounted; empty = no G-sensor command. approval: a person must approve the
    CAN check first. vehicle_setting_id: the scheme to write, by a maintenance without swap at its end.
    record: what the technician filled in, for the saved record (plate, serial, model, …).
    """

    model_config = ConfigDict(extra="forbid")

    service: str = Field("INSTALL", pattern=r"^[A-Z_]{1,40}$")
    label: str = Field("", max_length=20)
    harness: str = Field("", max_length=20)
    approval: bool = True
    vehicle_setting_id: str = Field("", pattern=r"^\d{0,12}$")
    record: dict[str, Any] = Field(default_factory=dict[str, Any])


class ForVehicle(BaseModel):
    """A job about one vehicle of one client."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, str_strip_whitespace=True)

    client_id: Digits = Field(title="Client id", description=CLIENT_ID)
    client_name: str = Field(min_length=1, max_length=200, title="Client", description=CLIENT)
    vehicle_id: Digits = Field(title="Vehicle id", description="The upstream's id of the vehicle: 7 digits.")
    comment: str = Field("", max_length=COMMENT_CHARS_MAX, title="Comment", description=COMMENT)
    chain: Chain | None = Field(None, title="Installation", description=CHAIN)

    @property
    def lock(self) -> str:
        """One job at a time per vehicle."""
        return f"vehicle:{self.vehicle_id}"


def traced(comment: str, trace: str, process_id: str = "") -> str:
    """Answer the comment with the tags by which a process in the portal's history is found again."""
    tags = [f"#rid={trace}"] + ([f"#pid={process_id}"] if process_id else [])
    return " ".join([*([comment.strip()] if comment.strip() else []), *tags])
