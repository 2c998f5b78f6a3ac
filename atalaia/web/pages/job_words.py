"""What jobs do step by step, in words: steps, what they can be found by, and what a frame is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from atalaia.web.i18n import N_, gettext
from atalaia.web.show import moment

# Names of steps as connectors write them; what stands after a colon is which one of several.
STEPS = {
    "began": N_("See how it is before"),
    "already assigned": N_("See whether it is assigned already"),
    "queue": N_("Prepare and execute"),
    "follow": N_("Follow the process to its end"),
    "acknowledged": N_("Wait for the unit's acknowledgement"),
    "gate": N_("Wait for the unit to come back"),
    "collect": N_("Read modules and parameters"),
    "cycles": N_("Watch the buses"),
    "header": N_("Read the header"),
    "resolve": N_("Find the vehicle"),
    "resolve_unit": N_("Find the unit"),
    "baseline": N_("Read the vehicle's form"),
    "serial_check": N_("Check the unit's serial"),
    "unit": N_("Note the unit that comes off"),
    "free": N_("Free the unit"),
    "deactivate": N_("Take the unit off"),
    "parked_check": N_("See whether it is parked already"),
    "vehicles_before": N_("Note the stock vehicles there are"),
    "order": N_("Order the stock record"),
    "find_ordered": N_("Find the ordered stock record"),
    "save": N_("Save the activation"),
    "save_cmdt": N_("Park the unit in stock"),
    "company_group": N_("Find the company's group"),
    "company_record": N_("Read the company's record"),
    "asset_types": N_("Read all models"),
    "ask": N_("Ask a person"),
    "sleep": N_("Pause"),
}

# By what an effect can be found upstream: names that people read instead of ours.
EVIDENCE = {
    "process_id": N_("Process"),
    "comment": N_("Comment"),
    "attribute": N_("Action"),
    "value": N_("Value"),
    "key_before": N_("Key before"),
    "command": N_("Command"),
    "serial": N_("Serial"),
    "plate": N_("Plate"),
    "vehicle_id": N_("Vehicle"),
    "vehicle_setting_id": N_("Scheme"),
    "client_id": N_("Client number"),
    "dated": N_("Dated"),
    "trace": N_("Trace"),
    "order_id": N_("Order"),
    "seen": N_("Seen upstream"),
}
TOLD_ELSEWHERE = ("trace", "sent_ms", "before", "seen")
_NAME = re.compile(r'"_?(?:action_name|name)"\s*:\s*"([^"]{1,60})"')
_SOURCE = re.compile(r'"data_source"\s*:\s*"([^"]{1,60})"')
_XML = (re.compile(r'<DATASOURCE [^>]*?DATASOURCE="([^"]{1,60})"'), re.compile(r"<(\w{1,40})"))


def step_word(name: str) -> str:
    """Answer a step in words; one that we do not know by its own name, as a sentence would have it."""
    first, _, which = name.partition(":")
    word = gettext(STEPS[first]) if first in STEPS else first.replace("_", " ").capitalize()
    return f"{word} · {which}" if which and first not in ("ask", "sleep") else word


def evidence_word(name: str) -> str:
    """Answer what a piece of evidence is called; one that we do not know by its own name."""
    return gettext(EVIDENCE[name]) if name in EVIDENCE else name.removesuffix("_ms").replace("_", " ")


def evidence_of(
    evidence: Mapping[str, Any], *, without: tuple[str, ...] = TOLD_ELSEWHERE
) -> list[tuple[str, Any]]:
    """Answer by what an effect can be found upstream, as names and values; times as times."""
    return [
        (
            evidence_word(name),
            _value(name, value),
        )
        for name, value in evidence.items()
        if name not in without and value not in (None, "", {}, [])
    ]


def _value(name: str, value: Any) -> Any:
    if name.endswith("_ms") and isinstance(value, int):
        return moment(value, "full")
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def frame_word(text: str) -> str:
    """Answer what a frame is, by the name that it carries itself; "" when it carries none.

    Known forms: JSON with an action or a data source, a form (`action=…`), XML with a data source.
    """
    if text.startswith("{"):
        source, name = _SOURCE.search(text), _NAME.search(text)
        return " · ".join(found.group(1) for found in (name, source) if found)
    if text.startswith("<"):
        found = next((one for one in (form.search(text) for form in _XML) if one), None)
        return found.group(1) if found else ""
    if text.startswith("action="):
        return dict(parse_qsl(text)).get("action", "")
    return text.partition("\n")[0][:60]
