"""Text mode: the files in `/etc/asterisk` that say who lives there. A bad line is reported and skipped.

Source: contracts/asterisk.md section 10. UTF-8; keys in any letter case; unknown keys are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from atalaia.connectors.asterisk.directory import (
    STRATEGIES,
    TYPES,
    Client,
    Endpoint,
    Level,
    MqServer,
    Problem,
    RingGroup,
)

CLIENTS, MQSERVERS, ENDPOINTS, RING_GROUPS = (
    "__CLIENTES__.DEF",
    "__MQSERVERS__.DEF",
    "endpoints_pjsip.def",
    "ringgroups.def",
)


@dataclass
class Report:
    """Problems of one file, collected while it is read."""

    file: str
    problems: list[Problem] = field(default_factory=list[Problem])

    def say(self, line: int, kind: str, reason: str, remedy: str, level: Level = "error") -> None:
        self.problems.append(Problem(self.file, line, reason, kind, remedy, level))


def read_clients(path: Path, report: Report) -> dict[str, Client]:
    """Read `__CLIENTES__.DEF`: sections `[112]`; keys name, vhost, status, record, push, allow_ips."""
    found: dict[str, Client] = {}
    for section in _sections(path, report, "a client's section"):
        if not re.fullmatch(r"\d{3}", section.name):
            report.say(
                section.line, "a client's section", "Its name is no client code.", "Name it by three digits."
            )
            continue
        if section.name in found:
            _double(report, section.line, f"client {section.name}")
            del found[section.name]
        found[section.name] = _client(section, report)
    return found


def read_endpoints(path: Path, report: Report, clients: dict[str, Client]) -> dict[str, Endpoint]:
    """Read `endpoints_pjsip.def`: `#include pjsip/N.pjsip ; Endpoint:N CLI:ccc TYPE:apto PW:.. GUID:..`."""
    found: dict[str, Endpoint] = {}
    for number, text in _lines(path, report):
        comment = _INCLUDE.match(text)
        if not comment:
            continue
        pairs = _pairs(comment[1])
        if not pairs.keys() & {"endpoint", "cli", "type", "pw"}:
            continue  # an #include of something else, with a comment of its own
        endpoint = _endpoint(pairs, number, report, clients)
        if endpoint is None:
            continue
        if endpoint.number in found:
            _double(report, number, f"endpoint {endpoint.number}")
            del found[endpoint.number]
        found[endpoint.number] = endpoint
    return found


def read_ring_groups(
    path: Path, report: Report, clients: dict[str, Client], endpoints: dict[str, Endpoint]
) -> dict[str, RingGroup]:
    """Read `ringgroups.def`: `; RingGroup:N CLI:ccc NAME:.. STRATEGY:ringall TIMEOUT:20 MEMBERS:a,b,c`."""
    found: dict[str, RingGroup] = {}
    for number, text in _lines(path, report):
        comment = _GROUP.match(text)
        if not comment:
            continue
        group = _ring_group(_pairs(comment[1]), number, report, clients)
        if group is None:
            continue
        if group.number in found:
            _double(report, number, f"ring group {group.number}")
            del found[group.number]
        found[group.number] = group
        strangers = [one for one in group.members if one not in endpoints]
        if strangers:
            said = f"It has members that are no endpoints: {', '.join(strangers)}."
            report.say(
                number, "MEMBERS of a ring group", said, "Add the endpoints or take them out.", "warning"
            )
    return found


def read_mq_servers(path: Path, report: Report) -> list[MqServer]:
    """Read `__MQSERVERS__.DEF`: sections with host, port, user, password, tls; order = preference."""
    found: dict[str, MqServer] = {}
    for section in _sections(path, report, "a server's section"):
        pairs = section.pairs
        port = pairs.get("port", "5671" if _flag(pairs.get("tls", "no")) else "5672")
        if not pairs.get("host"):
            report.say(
                section.line, "host of a RabbitMQ server", "It is missing.", "Add a line `host = ...`."
            )
        elif not port.isdecimal() or not 0 < int(port) < 65536:
            report.say(
                section.line, "port of a RabbitMQ server", "It is no port.", "Write a number from 1 to 65535."
            )
        else:
            user, password, tls = (
                pairs.get("user", "guest"),
                pairs.get("password", ""),
                _flag(pairs.get("tls", "no")),
            )
            found[section.name] = MqServer(section.name, pairs["host"], int(port), user, password, bool(tls))
    return list(found.values())


def _client(section: _Section, report: Report) -> Client:
    pairs = section.pairs
    code = section.name
    status = pairs.get("status", "active").lower()
    if status not in {"active", "inactive"}:
        report.say(
            section.line, "status of a client", "It is neither `active` nor `inactive`.", "Taken as active."
        )
        status = "active"
    known = {"name", "vhost", "status", "record", "push", "allow_ips"}
    return Client(
        code=code,
        name=pairs.get("name", code),
        vhost=pairs.get("vhost") or f"cliente{code}",
        status=status,
        record=_said_flag(section, "record", report),
        push=_said_flag(section, "push", report),
        allow_ips=tuple(one.strip() for one in pairs.get("allow_ips", "").split(",") if one.strip()),
        extra={key: value for key, value in pairs.items() if key not in known},
    )


def _said_flag(section: _Section, key: str, report: Report) -> bool:
    flag = _flag(section.pairs.get(key, "yes"))
    if flag is None:
        report.say(
            section.line, f"{key} of a client", "It is neither `yes` nor `no`.", "Taken as yes.", "warning"
        )
    return flag is not False


def _flag(text: str) -> bool | None:
    return _FLAGS.get(text.strip().lower())


_YES: tuple[str, ...] = ("yes", "y", "true", "on", "1", "sim", "s")
_NO: tuple[str, ...] = ("no", "n", "false", "off", "0", "nao", "não")
_FLAGS: dict[str, bool] = {**dict.fromkeys(_YES, True), **dict.fromkeys(_NO, False)}


def _endpoint(
    pairs: dict[str, str], line: int, report: Report, clients: dict[str, Client]
) -> Endpoint | None:
    number, client, kind = pairs.get("endpoint", ""), pairs.get("cli", ""), pairs.get("type", "").lower()
    wrong = _wrong_endpoint(number, client, kind)
    if wrong:
        report.say(line, *wrong)
        return None
    if client not in clients:
        report.say(
            line, "CLI of an endpoint", f"There is no client {client}.", f"Add [{client}] to {CLIENTS}."
        )
        return None
    if len(number) == 7 and not number.startswith(client):
        said = f"Endpoint {number} belongs to client {client}, whose numbers begin otherwise."
        report.say(line, "CLI of an endpoint", said, "CLI decides; check that it is meant.", "warning")
    known = {"endpoint", "cli", "type", "pw", "guid", "name"}
    extra = {key: value for key, value in pairs.items() if key not in known}
    return Endpoint(number, client, kind, pairs.get("name", ""), pairs.get("guid", ""), extra)


def _wrong_endpoint(number: str, client: str, kind: str) -> tuple[str, str, str] | None:
    """Answer kind of the place, reason and remedy when an endpoint's line cannot be used."""
    missing = [key for key, value in (("Endpoint", number), ("CLI", client), ("TYPE", kind)) if not value]
    if missing:
        return "an endpoint's line", f"{', '.join(missing)} is missing.", "Write Endpoint:, CLI: and TYPE:."
    if not re.fullmatch(r"\d{3}", client):
        return "CLI of an endpoint", "It is no client code.", "Write three digits."
    if kind not in TYPES:
        return "TYPE of an endpoint", "There is no such type.", f"Write one of {', '.join(TYPES)}."
    if not re.fullmatch(r"\d{7}|\d{4}" if kind != "ia" else r"\d+", number):
        return (
            "Endpoint of a line",
            "It is no endpoint's number.",
            "Write the client and four digits, or four digits.",
        )
    return None


def _ring_group(
    pairs: dict[str, str], line: int, report: Report, clients: dict[str, Client]
) -> RingGroup | None:
    number, client = pairs.get("ringgroup", ""), pairs.get("cli", "")
    strategy, timeout = pairs.get("strategy", "ringall").lower(), pairs.get("timeout", "20")
    if not number.isdecimal():
        report.say(line, "RingGroup of a line", "It is no number.", "Write the group's number.")
    elif client not in clients:
        report.say(line, "CLI of a ring group", f"There is no client {client}.", f"Add it to {CLIENTS}.")
    elif strategy not in STRATEGIES:
        report.say(line, "STRATEGY of a ring group", "Not known.", f"Write one of {', '.join(STRATEGIES)}.")
    elif not timeout.isdecimal():
        report.say(line, "TIMEOUT of a ring group", "It is no number.", "Write whole seconds.")
    else:
        members = tuple(one for one in pairs.get("members", "").split(",") if one)
        return RingGroup(number, client, pairs.get("name", ""), strategy, int(timeout), members)
    return None


def _double(report: Report, line: int, what: str) -> None:
    report.say(line, what, "It is there twice.", "The last one is taken; remove the others.", "warning")


@dataclass
class _Section:
    name: str
    line: int
    pairs: dict[str, str] = field(default_factory=dict[str, str])


def _sections(path: Path, report: Report, kind: str) -> Iterator[_Section]:
    """Read `[name]` sections of `key = value`; `#` and `;` begin comments."""
    section: _Section | None = None
    for number, text in _lines(path, report):
        stripped = text.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if stripped[0] == "[":
            if section:
                yield section
            section = _Section(stripped[1:].split("]", 1)[0].strip(), number)
            if "]" not in stripped or not section.name:
                report.say(number, kind, "Its name is not closed or empty.", "Write `[name]`.")
                section = None
            continue
        key, equals, value = stripped.partition("=")
        if not equals or not key.strip():
            report.say(number, kind, "A line without `key = value`.", "Correct or remove the line.")
        elif section is None:
            report.say(number, kind, "A line outside of any section.", "Put it below a `[name]`.")
        else:
            section.pairs[key.strip().lower()] = value.strip()
    if section:
        yield section


def _lines(path: Path, report: Report) -> Iterator[tuple[int, str]]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        if path.name != RING_GROUPS:  # this one is optional
            report.say(
                0, "the file", "It does not exist.", "Create it or correct the folder in the settings."
            )
        return
    except OSError as error:
        report.say(0, "the file", f"It cannot be read: {error.strerror}.", "Correct its permissions.")
        return
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            yield number, line.decode()
        except UnicodeDecodeError:
            report.say(number, "a line", "It is not UTF-8.", "Save the file as UTF-8; the line is skipped.")


def _pairs(text: str) -> dict[str, str]:
    pairs = (word.partition(":") for word in text.split() if ":" in word)
    return {key.lower(): value for key, _, value in pairs}


_INCLUDE = re.compile(r"\s*#include\s+[^;]*;(.*)")
_GROUP = re.compile(r"\s*;\s*(RingGroup:.*)", re.IGNORECASE)
