"""Reads what a person configured; every refusal names the field, what it holds and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from atalaia.errors import ConfigError


def kind(value: object) -> str:
    """Answer what a value is, in words."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return type(value).__name__


def expect_names(where: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse fields nobody reads: they are spelling errors."""
    allowed = sorted(known)
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise ConfigError(f"{where}.{unknown[0]} is not known. Fields of {where}: {', '.join(allowed)}.")


def text_field(
    given: Mapping[str, Any],
    name: str,
    where: str,
    *,
    default: str = "",
    most: int = 2000,
    required: bool = False,
) -> str:
    """Read a text of at most `most` characters without control characters."""
    value = given.get(name)
    if value is None or value == "":
        if required:
            raise ConfigError(f"{where} is missing. Write its text.")
        return default
    if not isinstance(value, str):
        raise ConfigError(f"{where} holds {kind(value)}. Write text.")
    if len(value) > most:
        raise ConfigError(f"{where} has {len(value)} characters. At most {most} are allowed.")
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        raise ConfigError(f"{where} holds a control character, such as a line break. Write it on one line.")
    return value


def texts_field(given: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    """Read a text or a list of texts."""
    value = given.get(name)
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where} holds {kind(value)}. Write text or a list of texts.")
    rows = list(cast("list[object]", value))
    for row in rows:
        if not isinstance(row, str):
            raise ConfigError(f"{where} holds a list with {kind(row)}. Write a list of texts.")
    return tuple(cast("list[str]", rows))


def number_field(
    given: Mapping[str, Any], name: str, where: str, *, default: int, least: int, most: int
) -> int:
    """Read a whole number between `least` and `most`."""
    value = given.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, str) and value.lstrip("-").isdigit():
        value = int(value)  # forms send text
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{where} holds {kind(value)}. Write a whole number from {least} to {most}.")
    if not least <= value <= most:
        raise ConfigError(f"{where} is {value}. Write a whole number from {least} to {most}.")
    return value


def flag_field(given: Mapping[str, Any], name: str, where: str, *, default: bool) -> bool:
    """Read true or false."""
    value = given.get(name)
    if value is None or value == "":
        return default
    if not isinstance(value, bool):
        raise ConfigError(f"{where} holds {kind(value)}. Write true or false.")
    return value


def choice_field(given: Mapping[str, Any], name: str, where: str, choices: tuple[str, ...]) -> str:
    """Read one of `choices`; the first is the default."""
    value = given.get(name)
    if value is None or value == "":
        return choices[0]
    if value not in choices:
        shown = repr(value[:60]) if isinstance(value, str) else kind(value)
        raise ConfigError(f"{where} holds {shown}. Write one of: {', '.join(choices)}.")
    return str(value)


def object_field(given: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """Read an object."""
    value = given.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{where} holds {kind(value)}. Write an object.")
    return cast("dict[str, Any]", value)
