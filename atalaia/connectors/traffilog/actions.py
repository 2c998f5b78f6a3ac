"""What can be asked over the socket: one function an action, parameters in the order in which they are sent.

`wire.build_frame` appends `_action_name` and `mtkn`. Source: contracts/traffilog.md §4, §9.
"""

from __future__ import annotations

from atalaia.connectors.traffilog.wire import CONFIG_STATUS, Action
from atalaia.errors import Rejected

SCHEME_BUILDER, RUN_COMMAND = "1", "5"  # action_id
HARMLESS = {  # answers that are no success and need no alarm, by action
    "associate_vehicles_actions_opr": frozenset({"1"}),  # the setting is assigned already
    "add_remove_custom_command": frozenset({"2"}),  # the command is there already
    "send_quick_command": frozenset({"1001"}),  # not queued; the values come all the same
}


def check_vehicle(client_id: str, vehicle_id: str, client_name: str) -> Action:
    """Tick a vehicle: what follows on this socket is about it, without naming it."""
    return Action(
        "vcls_check_opr",
        {"client_id": client_id, "vehicle_id": vehicle_id, "client_name": client_name, "is_checked": "1"},
    )


def prepare_scheme(client_id: str, client_name: str) -> Action:
    """Begin a Scheme Builder (call 0)."""
    return Action(
        "associate_vehicles_actions_opr",
        {
            "tag": "loading_screen",
            "client_id": client_id,
            "client_name": client_name,
            "action_source": "0",
            "action_id": SCHEME_BUILDER,
            "call_num": "0",
        },
    )


def choose_scheme(client_id: str, client_name: str, vehicle_setting_id: str) -> Action:
    """Choose the scheme (call 1). 0: assigned now, 1: assigned already, 8: the client's slot is busy."""
    return Action(
        "associate_vehicles_actions_opr",
        {
            "client_id": client_id,
            "client_name": client_name,
            "vehicle_setting_id": vehicle_setting_id,
            "action_source": "0",
            "action_id": SCHEME_BUILDER,
            "call_num": "1",
        },
    )


def prepare_command(client_id: str, client_name: str) -> Action:
    """Begin a run command (call 0)."""
    return Action(
        "associate_vehicles_actions_opr",
        {
            "client_id": client_id,
            "client_name": client_name,
            "action_source": "0",
            "action_id": RUN_COMMAND,
            "call_num": "0",
        },
    )


def confirm_command(
    client_id: str, client_name: str, comment: str | None = None, *, keep_priority: str | bool = True
) -> Action:
    """Confirm a run command (call 1). keep_priority: a boolean on the screens, text in newer software."""
    parameters: dict[str, str | bool] = {
        "client_id": client_id,
        "client_name": client_name,
        "action_source": "0",
        "action_id": RUN_COMMAND,
        "call_num": "1",
        "keep_priority": keep_priority,
    }
    return Action(
        "associate_vehicles_actions_opr",
        parameters if comment is None else {**parameters, "comment": comment},
    )


def list_commands(client_id: str) -> Action:
    """List the stored raw commands."""
    return Action("get_custom_command", {"client_id": client_id})


def add_command(client_id: str, command_syntax: str) -> Action:
    """Store a raw command, e.g. `(o2w,44,C614…)`, acknowledged by the unit. 2: it is there already."""
    return Action(
        "add_remove_custom_command",
        {
            "client_id": client_id,
            "acknowledge_needed": "1",
            "command_syntax": command_syntax,
            "action_value": "0",
        },
    )


def review(client_id: str) -> Action:
    """Show what is about to be queued; no rows mean that the client's slot was lost to another process."""
    return Action("review_process_attributes", {"client_id": client_id})


def find_process(client_id: str, client_name: str) -> Action:
    """Ask for the process that was prepared: a row `process_id`, or none yet."""
    return Action(
        "get_vcls_action_review_opr",
        {"client_id": client_id, "client_name": client_name, "action_source": "0"},
    )


def execute_scheme(client_id: str, process_id: str, comment: str) -> Action:
    """Queue a Scheme Builder; 0 means queued and nothing more."""
    return _execute(client_id, process_id, comment, "1", tag=True)


def execute_command(client_id: str, process_id: str, comment: str) -> Action:
    """Queue a run command; 0 means queued and nothing more."""
    return _execute(client_id, process_id, comment, "0", tag=False)


def _execute(client_id: str, process_id: str, comment: str, toggle_check: str, *, tag: bool) -> Action:
    if not process_id:
        raise Rejected("There is no process to execute.")
    parameters = {
        "client_id": client_id,
        "action_source": "0",
        "process_id": process_id,
        "comment": comment,
        "toggle_check": toggle_check,
    }
    return Action("execute_action_opr", {"tag": "loading_screen", **parameters} if tag else parameters)


def subscribe(vehicle_id: str, object_type: str, *, value: bool = False) -> Action:
    """Ask for the pushes of one kind; repeating it keeps the socket alive. value: as CAN workers do."""
    more = {"value": ""} if value and object_type == CONFIG_STATUS else {}
    return Action("vehicle_subscribe", {"vehicle_id": vehicle_id, "object_type": object_type, **more})


def unsubscribe(vehicle_id: str) -> Action:
    """Give all subscriptions of a vehicle back; do it before the socket is closed."""
    return Action("vehicle_unsubscribe", {"vehicle_id": vehicle_id, "object_type": ""})


def vehicle_info(vehicle_id: str, client_id: str = "") -> Action:
    """Read the vehicle's stored row; weeks old at worst."""
    more = {"client_id": client_id} if client_id else {}
    return Action("get_vehicle_info", {"vehicle_id": vehicle_id, **more})


def connected(vehicle_id: str) -> Action:
    """Ask whether the unit is connected: `is_connected` above 0."""
    return Action("get_vehicle_data_from_redis", {"vehicle_id": vehicle_id})


def parameter_list(vehicle_id: str) -> Action:
    """Ask which parameters the unit reports: names without values."""
    return Action("get_unit_parameters_opr", {"filter": "", "vehicle_id": vehicle_id})


def parameter_metadata(vehicle_id: str) -> Action:
    """Ask for what else is known of the parameters; its rows are not recorded."""
    return Action("get_unit_parameters_metadata", {"filter": "", "vehicle_id": vehicle_id})


def module_state(vehicle_id: str) -> Action:
    """Read the registry of modules; it grows step by step after an activation."""
    return Action(
        "get_monitor_module_state", {"tag": "loading_screen", "filter": "", "vehicle_id": vehicle_id}
    )


def quick_command(unit_key: str) -> Action:
    """Ask the unit for a burst of its parameters. unit_key: `SPT:<inner_id>`, decoded."""
    if not unit_key:
        raise Rejected("A quick command needs the key of the unit.")
    return Action(
        "send_quick_command",
        {"unit_key": unit_key, "local_action_id": "5", "cmd_id": "9", "ack_needed": "0"},
    )


def client_vehicles(client_id: str, client_name: str, **filters: str) -> Action:
    """Read the grid of a client's vehicles. filters: e.g. `license_nmbr`; the others stay empty."""
    parameters = {name: filters.get(name, default) for name, default in _GRID.items()}
    return Action(
        "get_client_vehicles_opr", {**parameters, "client_id": client_id, "client_name": client_name}
    )


_GRID = {
    "vcls_from_previous_process": "0",
    "is_checked": "0",
    "last_ignition_status": "0",
    "license_nmbr": "",
    "inner_id": "",
    "vehicle_id": "",
    "vin_nmbr": "",
    "client_group": "",
    "vehicle_type_descr": "",
    "is_last_SB_error": "0",
    "LAST_SB_STATUS_ID": "",
    "current_firmware": "",
    "is_assigned_fw": "0",
    "time_interval_id": "",
    "assigned_firmware": "",
    "loaded_setting_name": "",
    "is_assigned_setting": "0",
    "assigned_setting_name": "",
    "processor_type": "",
    "hardware_type": "",
}
