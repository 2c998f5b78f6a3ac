"""What a real client sent, held against what our code would send for the same action and parameters; pure.

A client's identifiers (vehicle, client, process, comment) are taken from its frame; all else, the order of
fields included, is ours. Differences that the upstream is known to accept are told apart.
Source: contracts/traffilog.md §3.2, §4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

from atalaia.connectors.traffilog import actions
from atalaia.connectors.traffilog.capture import Frame
from atalaia.connectors.traffilog.wire import (
    Action,
    Json,
    Token,
    build_frame,
    encode_whole,
    read_frame,
    read_object,
    text_of,
)
from atalaia.errors import AtalaiaError, Unreadable

ORDER = ("flow_id", "name", "parameters", "session_token", "mtkn")


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. kind: `missing` (only we send it), `extra` (only they do), `order`, `type`, `value`,
    `encoding`, `shape`, `token` or `mtkn`. harmless: the upstream is known to take both.
    """

    kind: str
    field: str
    theirs: Any = None
    ours: Any = None
    harmless: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """One frame of a client. theirs, ours: the text, tokens replaced. encoded: theirs was, as a whole.

    verdict: `same` (to the byte), `harmless`, `different`, `unknown` (an action that we never send) or
    `unreadable`.
    """

    number: int
    socket: int
    t_ms: int
    action: str
    verdict: str
    differences: tuple[Difference, ...] = ()
    theirs: str = ""
    ours: str = ""
    encoded: bool = False


Parameters = Mapping[str, str]
Maker = Callable[[Parameters], Action]


def compare(frames: Iterable[Frame]) -> list[Compared]:
    """Answer one comparison for each frame that was sent."""
    return [_compare(frame) for frame in frames if frame.direction == "out"]


def build_like(name: str, asked: Json) -> list[Action]:
    """Answer the actions that our code can make of this name, with the identifiers of `asked`; [] if none."""
    told: Parameters = _Told({key: text_of(asked, key) for key in asked})
    found: list[Action] = []
    for make in _MAKERS.get(name, ()):
        try:
            found.append(make(told))
        except AtalaiaError:
            continue  # e.g. without a process there is nothing to execute
    return found


class _Told(dict[str, str]):
    """The parameters of a frame; what is not in it is `""`, and shows as a difference."""

    def __missing__(self, key: str) -> str:
        return ""


def _compare(frame: Frame) -> Compared:
    text = frame.text
    if text is None:
        return Compared(frame.number, frame.socket, frame.t_ms, "", "unreadable", (_shape(frame.why),))
    encoded = text[:3].lower() == "%7b"
    plain = unquote(text) if encoded else text
    place = (frame.number, frame.socket, frame.t_ms)
    try:
        action, inside = read_frame(plain)
        whole = read_object(plain)
    except Unreadable as error:
        return Compared(*place, "", "unreadable", (_shape(str(error)),), theirs=plain, encoded=encoded)
    envelope = list(_envelope(whole, inside, action))
    candidates = build_like(action.name, cast("Json", inside["parameters"]))
    if not candidates:
        verdict = "different" if any(not one.harmless for one in envelope) else "unknown"
        return Compared(*place, action.name, verdict, tuple(envelope), theirs=plain, encoded=encoded)
    ranked = [(list(_parameters(action, ours)), ours) for ours in candidates]
    differences, ours = min(ranked, key=lambda one: (sum(not d.harmless for d in one[0]), len(one[0])))
    if encoded and encode_whole(plain) != text:
        envelope.append(Difference("encoding", "", note="encoded otherwise than encodeURIComponent does"))
    made = _build(ours, inside)
    all_of = (*envelope, *differences)
    if not all_of and made != plain:
        all_of = (_shape("the same fields, written differently"),)
    serious = any(not one.harmless for one in all_of)
    verdict = "different" if serious else "harmless" if all_of else "same"
    return Compared(*place, action.name, verdict, all_of, plain, made, encoded)


def _build(ours: Action, inside: Json) -> str:
    """Build our frame with their token, correlation id and flow id, so that only the rest can differ."""
    mtkn, flow_id = text_of(inside, "mtkn"), text_of(inside, "flow_id")
    token = text_of(inside, "session_token")
    try:
        return build_frame(ours, Token(token), mtkn if mtkn.isdecimal() else "0", flow_id).replace(
            '"mtkn":"0"', f'"mtkn":"{mtkn}"'
        )
    except AtalaiaError as error:
        return f"({error})"


def _envelope(whole: Json, inside: Json, action: Action) -> Iterable[Difference]:
    for extra in [key for key in whole if key != "action"]:
        yield Difference("extra", extra, theirs=whole[extra], note="nothing but `action` stands at the root")
    yield from _names("action", list(inside), list(ORDER))
    parameters = cast("Json", inside["parameters"])
    if list(parameters)[-2:] != ["_action_name", "mtkn"]:
        note = "`_action_name` and `mtkn` are the last of `parameters`"
        yield Difference("order", "parameters", list(parameters)[-2:], ["_action_name", "mtkn"], note=note)
    if "_action_name" in parameters and parameters["_action_name"] != action.name:
        yield Difference("value", "parameters._action_name", parameters["_action_name"], action.name)
    for name in ("flow_id", "session_token", "mtkn"):
        if name in inside and not isinstance(inside[name], str):
            yield Difference("type", name, _kind(inside[name]), "string")
    yield from _identity(inside, parameters)


def _identity(inside: Json, parameters: Json) -> Iterable[Difference]:
    token, mtkn = text_of(inside, "session_token"), text_of(inside, "mtkn")
    if "session_token" in inside and not token:
        yield Difference("token", "session_token", "", "a token", note="an empty token is answered with 403")
    if text_of(parameters, "mtkn") != mtkn:
        note = "both ids of a frame are the same"
        yield Difference("mtkn", "parameters.mtkn", parameters.get("mtkn"), mtkn, note=note)
    if mtkn and not (mtkn.isascii() and mtkn.isdigit()):
        note = "with other characters than digits the answer comes in fragments"
        yield Difference("mtkn", "mtkn", mtkn, "digits only", harmless=True, note=note)


def _parameters(theirs: Action, ours: Action) -> Iterable[Difference]:
    asked, made = cast("Json", theirs.parameters), cast("Json", ours.parameters)
    yield from _names("parameters", list(asked), list(made), optional=_OPTIONAL.get(theirs.name, ()))
    for name in [name for name in made if name in asked]:
        one, other = asked[name], made[name]
        if type(one) is not type(other):
            harmless = name == "keep_priority" and text_of(asked, name).lower() == "true"
            note = "both are known to work" if harmless else ""
            yield Difference("type", f"parameters.{name}", _kind(one), _kind(other), harmless, note)
        elif one != other:
            yield Difference("value", f"parameters.{name}", one, other)


def _names(
    where: str, theirs: list[str], ours: list[str], *, optional: tuple[str, ...] = ()
) -> Iterable[Difference]:
    for name in theirs:
        if name not in ours:
            harmless = name in optional
            yield Difference(
                "extra", f"{where}.{name}", note="known to be optional" if harmless else "", harmless=harmless
            )
    for name in ours:
        if name not in theirs:
            harmless = name in optional
            yield Difference(
                "missing",
                f"{where}.{name}",
                note="known to be optional" if harmless else "",
                harmless=harmless,
            )
    both, made = [name for name in theirs if name in ours], [name for name in ours if name in theirs]
    if both != made:
        yield Difference("order", where, both, made)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if value is None:
        return "null"
    return "string" if isinstance(value, str) else "number" if isinstance(value, (int, float)) else "object"


def _shape(why: str) -> Difference:
    return Difference("shape", "", note=why)


# Fields that screens and programs send or leave out, and the upstream takes both.
_OPTIONAL = {
    "execute_action_opr": ("tag",),
    "get_vehicle_info": ("tag", "client_id"),
    "associate_vehicles_actions_opr": ("comment",),
    "vehicle_subscribe": ("value",),
}

_MAKERS: dict[str, tuple[Maker, ...]] = {
    "vcls_check_opr": (lambda a: actions.check_vehicle(a["client_id"], a["vehicle_id"], a["client_name"]),),
    "associate_vehicles_actions_opr": (
        lambda a: actions.prepare_scheme(a["client_id"], a["client_name"]),
        lambda a: actions.choose_scheme(a["client_id"], a["client_name"], a["vehicle_setting_id"]),
        lambda a: actions.prepare_command(a["client_id"], a["client_name"]),
        lambda a: actions.confirm_command(a["client_id"], a["client_name"], a["comment"] or None),
    ),
    "review_process_attributes": (lambda a: actions.review(a["client_id"]),),
    "get_vcls_action_review_opr": (lambda a: actions.find_process(a["client_id"], a["client_name"]),),
    "execute_action_opr": (
        lambda a: actions.execute_scheme(a["client_id"], a["process_id"], a["comment"]),
        lambda a: actions.execute_command(a["client_id"], a["process_id"], a["comment"]),
    ),
    "get_custom_command": (lambda a: actions.list_commands(a["client_id"]),),
    "add_remove_custom_command": (lambda a: actions.add_command(a["client_id"], a["command_syntax"]),),
    "vehicle_subscribe": (
        lambda a: actions.subscribe(a["vehicle_id"], a["object_type"]),
        lambda a: actions.subscribe(a["vehicle_id"], a["object_type"], value=True),
    ),
    "vehicle_unsubscribe": (lambda a: actions.unsubscribe(a["vehicle_id"]),),
    "get_vehicle_info": (
        lambda a: actions.vehicle_info(a["vehicle_id"]),
        lambda a: actions.vehicle_info(a["vehicle_id"], a["client_id"]),
    ),
    "get_vehicle_data_from_redis": (lambda a: actions.connected(a["vehicle_id"]),),
    "get_unit_parameters_opr": (lambda a: actions.parameter_list(a["vehicle_id"]),),
    "get_unit_parameters_metadata": (lambda a: actions.parameter_metadata(a["vehicle_id"]),),
    "get_monitor_module_state": (lambda a: actions.module_state(a["vehicle_id"]),),
    "send_quick_command": (lambda a: actions.quick_command(a["unit_key"]),),
    "get_client_vehicles_opr": (
        lambda a: actions.client_vehicles(
            a["client_id"],
            a["client_name"],
            **{name: value for name, value in a.items() if name not in ("client_id", "client_name", "mtkn")},
        ),
    ),
}
