"""The older software's catalog files, every form into one shape; nothing is written.

A place that cannot be read is a problem with its file, place, field, kind and remedy, and everything else is
read all the same. Source: contracts/traffilog.md §13.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import orjson

from atalaia.connectors.traffilog.catalogs import (
    Catalog,
    Command,
    Model,
    Problem,
    Scheme,
    Source,
    Technician,
)
from atalaia.connectors.traffilog.gsensor import Mount
from atalaia.errors import ConfigError, Rejected

Json = Mapping[str, Any]
_COLUMNS = ("CLIENT_ID", "CLIENT_DESCR", "VEHICLE_SETTING_ID")
_ID = re.compile(r"\d{1,12}", re.ASCII)


def read_catalogs(paths: Iterable[Path]) -> Catalog:
    """Read files and put them together, in their order.

    Errors: none; a file that is not there, or of no known form, is a problem like others.
    """
    whole = Catalog()
    for path in paths:
        try:
            whole.add(read_catalog(path.name, path.read_bytes()))
        except OSError as error:
            said = f"It cannot be read ({error.strerror or error})."
            whole.problems.append(Problem(path.name, "", "", "unreadable", said, "Name an existing file."))
        except ConfigError as error:
            whole.problems.append(
                Problem(path.name, "", "", "unreadable", str(error), "Name a file of a known form.")
            )
    return whole


def read_catalog(name: str, raw: bytes) -> Catalog:
    """Read one file; its form is told from its content.

    Errors: `ConfigError` naming the file when it is none of the known forms.
    """
    try:
        return _read(name, raw)
    except ConfigError as error:
        said = str(error)
        raise ConfigError(said if said.startswith(name) else f"{name}: {said}") from error


def _read(name: str, raw: bytes) -> Catalog:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")  # what spreadsheets on Windows save
    if not text.strip():
        raise ConfigError("The file is empty.")
    if text.lstrip()[0] not in "{[":
        return _read_text(name, text)
    try:
        whole: Any = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigError(f"The JSON is broken: {error}.") from error
    return _read_json(name, whole)


def _read_json(name: str, whole: Any) -> Catalog:
    reader = _Reader(name)
    if isinstance(whole, list):
        rows = cast("list[Any]", whole)
        named = [cast("dict[str, Any]", row) for row in rows if isinstance(row, dict)]
        if rows and not any(name in row for row in named for name in ("asset_type", "manufacturer")):
            raise ConfigError("A list, but none of vehicle models: no row has an asset_type.")
        reader.models(rows, "", "asset_type")
        return reader.catalog
    top = cast("dict[str, Any]", whole)
    readers: tuple[tuple[str, Callable[[Any], None]], ...] = (
        ("settings", reader.active),
        ("items", reader.settings),
        ("asset_types", lambda value: reader.models(value, "asset_types", "id")),
        ("by_client", reader.models_by_client),
        ("commands", reader.commands),
        ("technicians", reader.technicians),
        ("gsensorMap", reader.command_map),
    )
    known = False
    for key, read in readers:
        if key in top:
            known = True
            read(top[key])
    clients: Any = top.get("clients")
    if isinstance(clients, dict):
        known = True
        reader.clients(cast("dict[str, Any]", clients))
    elif isinstance(clients, list):
        known = True
        reader.selection(cast("list[Any]", clients))
    if not known:
        keys = ", ".join(list(top)[:6]) or "none"
        raise ConfigError(f"None of the known catalogs is in it (its keys: {keys}).")
    return reader.catalog


class _Reader:
    """Reads one file's content into a catalog; each method takes one of the known forms."""

    def __init__(self, file: str) -> None:
        self.catalog = Catalog()
        self._file = file

    def active(self, value: Any) -> None:
        """Read {"<client_id>": {"vehicleSettingId", "settingName", "updatedAt"}}."""
        for client_id, row, place in self._by_client(value, "settings"):
            self._scheme(row, place, "active", client_id, ("vehicleSettingId", "settingName"), default=True)

    def settings(self, value: Any) -> None:
        """Read [{"clientId", "clientName", "profileKey", "settingName", "vehicleSettingId", "isDefault"}]."""
        for row, place in self._rows(value, "items"):
            client_id = self._id(row, place, "clientId")
            if client_id:
                self._client(client_id, _text(row, "clientName"))
                profile, default = _text(row, "profileKey"), row.get("isDefault") is True
                names = ("vehicleSettingId", "settingName")
                self._scheme(row, place, "settings", client_id, names, profile=profile, default=default)
        self._one_default("settings", "items")

    def selection(self, value: Any) -> None:
        """Read [{"client_id", "client_descr", "schemes": [{…}], "selected_scheme_id"}]."""
        for row, place in self._rows(value, "clients"):
            client_id = self._id(row, place, "client_id")
            if not client_id:
                continue
            self._client(client_id, _text(row, "client_descr"))
            selected = _text(row, "selected_scheme_id")
            known: set[str] = set()
            for one, inner in self._rows(row.get("schemes", []), f"{place}.schemes"):
                names = ("vehicle_setting_id", "vehicle_setting_name")
                chosen = _text(one, names[0]) == selected != ""
                scheme = self._scheme(one, inner, "selection", client_id, names, default=chosen)
                known.add(scheme)
            if selected and selected not in known:
                said = f"The selected scheme {selected} is not among the client's."
                self._problem(place, "selected_scheme_id", "conflict", said, "Select one that is listed.")

    def clients(self, value: Json) -> None:
        """Read {"<client_id>": {"clientName", "defaultVehicleSettingId", "profiles": {"<key>": {…}}, …}}."""
        for client_id, row, place in self._by_client(value, "clients"):
            self._client(client_id, _text(row, "clientName"))
            default = _text(row, "defaultVehicleSettingId")
            profiles: Any = row.get("profiles")
            found: set[str] = set()
            for key, one in cast("Json", profiles).items() if isinstance(profiles, dict) else ():
                inner = f"{place}.profiles.{key}"
                if not isinstance(one, dict):
                    self._type(inner, "", "an object")
                    continue
                told = cast("Json", one)
                chosen = told.get("isDefault") is True or _text(row, "defaultProfileKey") == key
                names = ("vehicleSettingId", "settingName")
                found.add(self._scheme(told, inner, "clients", client_id, names, profile=key, default=chosen))
            if default and default not in found:
                names = ("defaultVehicleSettingId", "defaultSettingName")
                self._scheme(row, place, "clients", client_id, names, default=True)

    def models(self, value: Any, where: str, key: str) -> None:
        """Read [{"manufacturer", "model", "asset_type"}], or the synced list with `id` and `sub_model`."""
        for row, place in self._rows(value, where):
            self._model(row, place, key, "")

    def models_by_client(self, value: Any) -> None:
        """Read {"<client_id>": [asset type | model, …]}."""
        if not isinstance(value, dict):
            self._type("by_client", "", "an object")
            return
        for client_id, rows in cast("Json", value).items():
            place = f"by_client.{client_id}"
            if not isinstance(rows, list):
                self._type(place, "", "a list")
                continue
            for number, row in enumerate(cast("list[Any]", rows)):
                inner = f"{place}[{number}]"
                if isinstance(row, dict):
                    told = cast("Json", row)
                    self._model(told, inner, "id" if "id" in told else "asset_type", client_id)
                elif _ID.fullmatch(str(row)):
                    self.catalog.models.append(Model(str(row), "", "", client_id=client_id))
                else:
                    self._type(inner, "", "an asset type")

    def commands(self, value: Any) -> None:
        """Read [{"label", "harness", "command"}]."""
        for row, place in self._rows(value, "commands"):
            self._command(_text(row, "label"), _text(row, "harness"), _text(row, "command"), place)

    def command_map(self, value: Any) -> None:
        """Read {"<LABEL>|<HARNESS>": {"GS_COMMAND_SYNTAX" | "command"}}."""
        if not isinstance(value, dict):
            self._type("gsensorMap", "", "an object")
            return
        for pair, row in cast("Json", value).items():
            label, _, harness = pair.partition("|")
            told = cast("Json", row) if isinstance(row, dict) else cast("Json", {})
            command = _text(told, "GS_COMMAND_SYNTAX") or _text(told, "command")
            self._command(label, harness, command, f"gsensorMap.{pair}")

    def technicians(self, value: Any) -> None:
        """Read [{"id", "nick"}]."""
        seen: set[str] = set()
        for row, place in self._rows(value, "technicians"):
            one = Technician(_text(row, "id"), _text(row, "nick"))
            if not one.id or not one.nick:
                self._problem(place, "id" if not one.id else "nick", "missing", "It is empty.", "Fill it in.")
            elif one.id in seen:
                self._problem(place, "id", "duplicate", f"{one.id} is there twice.", "Keep one of them.")
            else:
                seen.add(one.id)
                self.catalog.technicians.append(one)

    def line(self, number: int, values: list[str]) -> None:
        """Read a line of `CLIENT_ID;CLIENT_DESCR;VEHICLE_SETTING_ID`."""
        row: Json = {name: value.strip() for name, value in zip(_COLUMNS, values, strict=False)}
        place = f"line {number}"
        client_id = self._id(row, place, _COLUMNS[0])
        if not client_id:
            return
        if any(one.client_id == client_id for one in self.catalog.schemes):
            said = f"Client {client_id} is there twice; the first line counts."
            self._problem(place, _COLUMNS[0], "duplicate", said, "Keep one of them.")
            return
        self._client(client_id, row.get(_COLUMNS[1], ""))
        self._scheme(row, place, "text", client_id, (_COLUMNS[2], ""), default=True)

    def problem(self, place: str, field: str, kind: str, said: str, remedy: str) -> None:
        self._problem(place, field, kind, said, remedy)

    def _scheme(
        self,
        row: Json,
        place: str,
        source: Source,
        client_id: str,
        names: tuple[str, str],
        *,
        profile: str = "",
        default: bool = False,
    ) -> str:
        """Keep one scheme; answer its id, `""` if it has none."""
        scheme_id = self._id(row, place, names[0])
        if not scheme_id:
            return ""
        updated = _text(row, "updatedAt") or _text(row, "updated_at")
        name, client = _text(row, names[1]), self.catalog.clients.get(client_id, "")
        scheme = Scheme(client_id, scheme_id, name, source, profile, default, updated, client)
        if scheme in self.catalog.schemes:
            self._problem(place, names[0], "duplicate", f"Scheme {scheme_id} is there twice.", "Keep one.")
        else:
            self.catalog.schemes.append(scheme)
        return scheme_id

    def _one_default(self, source: Source, place: str) -> None:
        counts: dict[str, int] = {}
        for one in self.catalog.schemes:
            if one.source == source and one.default:
                counts[one.client_id] = counts.get(one.client_id, 0) + 1
        for client_id, count in counts.items():
            if count > 1:
                said = f"Client {client_id} has {count} default schemes; the first one counts."
                self._problem(place, "isDefault", "conflict", said, "Leave one default.")

    def _model(self, row: Json, place: str, key: str, client_id: str) -> None:
        model_id = self._id(row, place, key)
        if not model_id:
            return
        names = (_text(row, "manufacturer"), _text(row, "model"))
        for name, value in zip(("manufacturer", "model"), names, strict=True):
            if not value:
                self._problem(place, name, "missing", "It is empty.", "Fill it in.")
        self.catalog.models.append(Model(model_id, *names, _text(row, "sub_model"), client_id))

    def _command(self, label: str, harness: str, command: str, place: str) -> None:
        """Keep a command as it stands, with the word on whether it may be sent."""
        try:
            ours, why = Mount(label, harness).command, ""
        except Rejected as error:
            ours, why = "", str(error)
        same = ours.lower().replace(" ", "") == command.lower().replace(" ", "")
        if not why and not same:
            why = "It is not the matrix that the rule gives for this mounting."
            self._problem(place, "command", "conflict", why, f"The rule gives {ours}.")
        self.catalog.commands.append(Command(label, harness, command, not why, why))

    def _client(self, client_id: str, name: str) -> None:
        known = self.catalog.clients.get(client_id)
        if known and name and known != name:
            said = f"Client {client_id} is called “{known}” and “{name}”."
            self._problem(f"client {client_id}", "", "conflict", said, "Use one name; the first one counts.")
        elif not known:
            self.catalog.clients[client_id] = name

    def _id(self, row: Json, place: str, name: str) -> str:
        """Answer a number that names something, as text; `""` and a problem when it is none."""
        value = row.get(name)
        text = _text(row, name)
        if not text:
            self._problem(place, name, "missing", "It is empty.", "Fill in the upstream's number.")
        elif isinstance(value, bool) or not _ID.fullmatch(text):
            said = f"“{text[:40]}” is no number."
            self._problem(place, name, "value", said, "Fill in the upstream's number.")
        else:
            return text
        return ""

    def _by_client(self, value: Any, where: str) -> Iterator[tuple[str, Json, str]]:
        if not isinstance(value, dict):
            self._type(where, "", "an object")
            return
        for client_id, row in cast("Json", value).items():
            place = f"{where}.{client_id}"
            if not _ID.fullmatch(client_id):
                self._problem(place, "", "value", "The client's id is no number.", "Use the upstream's.")
            elif not isinstance(row, dict):
                self._type(place, "", "an object")
            else:
                yield client_id, cast("Json", row), place

    def _rows(self, value: Any, where: str) -> Iterator[tuple[Json, str]]:
        if not isinstance(value, list):
            self._type(where, "", "a list")
            return
        for number, row in enumerate(cast("list[Any]", value)):
            place = f"{where}[{number}]"
            if isinstance(row, dict):
                yield cast("Json", row), place
            else:
                self._type(place, "", "an object")

    def _type(self, place: str, name: str, wanted: str) -> None:
        said = f"It is not {wanted}."
        self._problem(place, name, "type", said, f"Make it {wanted}, as in the other entries.")

    def _problem(self, place: str, name: str, kind: str, said: str, remedy: str) -> None:
        self.catalog.problems.append(Problem(self._file, place, name, kind, said, remedy))


def _read_text(name: str, text: str) -> Catalog:
    """Read `CLIENT_ID;CLIENT_DESCR;VEHICLE_SETTING_ID` with a header line.

    Errors: `ConfigError` when the first line is no such header.
    """
    reader = _Reader(name)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    header = [part.strip().upper() for part in lines[0][1].split(";")]
    if header[:3] != list(_COLUMNS):
        raise ConfigError(f"The first line must be {';'.join(_COLUMNS)}.")
    for number, line in lines[1:]:
        parts = line.split(";")
        if len(parts) < len(_COLUMNS):
            said = f"There are {len(parts)} of {len(_COLUMNS)} columns."
            remedy = f"Write {';'.join(_COLUMNS)}."
            reader.problem(f"line {number}", "", "missing", said, remedy)
        else:
            reader.line(number, parts)
    return reader.catalog


def _text(row: Json, name: str) -> str:
    value = row.get(name)
    if isinstance(value, bool) or value is None:
        return ""
    return str(value).strip() if isinstance(value, (str, int)) else ""
