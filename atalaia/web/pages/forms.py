"""Forms drawn from a settings class: titles, descriptions, kinds, secrets; and what a form gave back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pydantic import BaseModel, SecretStr

from atalaia.connectors.connector import Connector
from atalaia.redact import Redactor
from atalaia.web.i18n import N_, gettext
from atalaia.web.show import number

FieldKind = Literal["text", "password", "number", "choice", "check", "list", "pairs"]


# The choices of settings classes, capitalised, for the translators.
CHOICES = (N_("Text"), N_("Database"), N_("Mixed"), N_("Ours"), N_("Shared"))


@dataclass(frozen=True, slots=True)
class FormField:
    """One field of a form. value: as the form shows it; `set` says that a secret has a value already."""

    name: str
    title: str
    hint: str
    kind: FieldKind
    value: Any = ""
    required: bool = False
    options: tuple[tuple[str, str], ...] = ()
    is_set: bool = False
    error: str = ""
    step: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Fields that belong together; `folded` ones are for those who look for them."""

    title: str
    fields: list[FormField] = field(default_factory=list[FormField])
    folded: bool = False


def groups_of(
    connector: Connector, values: Mapping[str, Any], *, secrets_set: tuple[str, ...] = (),
    errors: Mapping[str, str] | None = None,
) -> list[Group]:  # fmt: skip
    """Answer the form of a connector's settings with these values."""
    return form_of(connector.settings, values, secrets_set=secrets_set, errors=errors)


def form_of(
    model: type[BaseModel], values: Mapping[str, Any], *, secrets_set: tuple[str, ...] = (),
    errors: Mapping[str, str] | None = None,
) -> list[Group]:  # fmt: skip
    """Answer the form of a class of settings or parameters with these values.

    The class may say `json_schema_extra={"groups": [[title, [field, …]], …]}`; what it does not
    name goes into a folded group at the end. Without that, what has a default and is no text is folded.
    """
    schema: dict[str, Any] = model.model_json_schema()
    wrong = dict(errors or {})
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    known = {name: one for name, one in properties.items() if not _is_nested(schema, one)}
    declared: list[tuple[str, list[str]]] = schema.get("groups") or _guessed(schema, known)
    groups: list[Group] = []
    named: set[str] = set()
    for title, names in declared:
        fields = [
            _field(schema, name, known[name], values, secrets_set, wrong) for name in names if name in known
        ]
        groups.append(Group(title, fields))
        named.update(names)
    rest = [
        _field(schema, name, one, values, secrets_set, wrong)
        for name, one in known.items()
        if name not in named
    ]
    if rest:
        groups.append(Group(N_("More settings"), rest, folded=not any(one.error for one in rest)))
    return groups


def _guessed(schema: Mapping[str, Any], known: Mapping[str, dict[str, Any]]) -> list[tuple[str, list[str]]]:
    needed: set[str] = set(schema.get("required", ()))
    plain = [
        name
        for name, one in known.items()
        if name in needed or _kind(_resolved(schema, one)) in ("text", "choice", "password")
    ]
    return [(N_("Settings"), plain)]


def _resolved(schema: Mapping[str, Any], one: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a property with its reference or its `anyOf … null` put in."""
    merged = dict(one)
    for choice in cast("list[dict[str, Any]]", one.get("anyOf") or one.get("allOf") or ()):
        if choice.get("type") != "null":
            merged = {**choice, **merged}
    if reference := merged.get("$ref"):
        name = str(reference).rsplit("/", 1)[-1]
        merged = {**schema.get("$defs", {}).get(name, {}), **merged}
    return merged


def _is_nested(schema: Mapping[str, Any], one: Mapping[str, Any]) -> bool:
    """Answer whether a property is a class of its own, which programs fill in and forms do not."""
    return "properties" in _resolved(schema, one)


def _kind(one: Mapping[str, Any]) -> FieldKind:
    if one.get("format") == "password" or one.get("writeOnly"):
        return "password"
    if "enum" in one:
        return "choice"
    match one.get("type"):
        case "boolean":
            return "check"
        case "integer" | "number":
            return "number"
        case "array":
            return "list"
        case "object":
            return "pairs"
        case _:
            return "text"


def _field(
    schema: Mapping[str, Any], name: str, raw: Mapping[str, Any], values: Mapping[str, Any],
    secrets_set: tuple[str, ...], errors: Mapping[str, str],
) -> FormField:  # fmt: skip
    one = _resolved(schema, raw)
    kind = _kind(one)
    value = values.get(name, raw.get("default"))
    return FormField(
        name=name,
        title=str(raw.get("title") or name),
        hint=str(raw.get("description") or ""),
        kind=kind,
        value="" if kind == "password" else _shown(kind, value),
        required=name in schema.get("required", ()) and name not in secrets_set,
        options=tuple((str(item), gettext(str(item).capitalize())) for item in one.get("enum", ())),
        is_set=name in secrets_set,
        error=errors.get(name, ""),
        step="any" if one.get("type") == "number" else "1",
    )


def _shown(kind: FieldKind, value: Any) -> Any:
    if kind == "check":
        return bool(value)
    if value is None:
        return ""
    if kind == "list" and isinstance(value, list | tuple):
        return ", ".join(str(item) for item in cast("list[Any]", value))
    if kind == "pairs" and isinstance(value, Mapping):
        return "\n".join(f"{key} = {item}" for key, item in cast("Mapping[str, Any]", value).items())
    return value


def read_form(connector: Connector, form: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a form gave as values for a connector's settings; see `read_fields`."""
    return read_fields(connector.settings, form)


def read_fields(model: type[BaseModel], form: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a form gave as values for a class; empty fields keep the class's default.

    Errors: none here; what does not fit is told by the class.
    """
    schema: dict[str, Any] = model.model_json_schema()
    found: dict[str, Any] = {}
    for name, raw in schema.get("properties", {}).items():
        one = _resolved(schema, raw)
        kind = _kind(one)
        if _is_nested(schema, raw):
            continue
        given = str(form.get(name) or "").strip()
        if kind == "check":
            found[name] = name in form
        elif kind == "list":
            found[name] = [item.strip() for item in given.replace("\n", ",").split(",") if item.strip()]
        elif kind == "pairs":
            found[name] = dict(_pair(line) for line in given.splitlines() if "=" in line)
        elif kind == "number" and not given:
            if raw.get("default") is None and name not in schema.get("required", ()):
                found[name] = None
        elif given or (kind == "text" and raw.get("default") == ""):
            found[name] = given
    return found


def _pair(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key.strip(), value.strip()


def errors_by_field(said: str) -> tuple[dict[str, str], str]:
    """Part what `Setup.read` says of wrong fields: by field, and the rest of it."""
    errors: dict[str, str] = {}
    rest: list[str] = []
    for line in said.splitlines():
        name, found, text = line.partition(" holds a ")
        if found and name.isidentifier():
            errors[name] = text.partition(" that does not fit: ")[2] or text
        else:
            rest.append(line)
    return errors, "\n".join(rest)


def summary_of(connector: Connector, settings: BaseModel, redactor: Redactor) -> list[tuple[str, Any]]:
    """Answer what differs from the defaults, as (title, value); of secrets only that they are set."""
    rows: list[tuple[str, Any]] = []
    for name, declared in type(settings).model_fields.items():
        value: Any = getattr(settings, name)
        title = gettext(declared.title or name)
        if isinstance(value, SecretStr):
            if value.get_secret_value():
                rows.append((title, gettext("set, never shown")))
            continue
        if value in ("", None) or (
            not declared.is_required() and value == declared.get_default(call_default_factory=True)
        ):
            continue
        rows.append((title, redactor.text(_told(name, value))))
    return rows


# Units stand last in the names of settings.
_UNITS = {"_ms": "ms", "_s": "s", "_min": "min", "_h": "h"}


def _told(name: str, value: Any) -> str:
    """Answer a setting's value as a person reads it: lists in a row, numbers with the unit of their name."""
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, int | float):
        unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
        return f"{number(value)}\u00a0{unit}" if unit else str(number(value))
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(str(one) for one in cast("Iterable[Any]", value))
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
