"""Convert decoded JSON to a type, without its invalid values.

`msgspec.convert` converts all or nothing, so one invalid row would lose the whole state.
"""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

T = TypeVar("T", bound=msgspec.Struct)

_NOTHING = object()


def salvage(raw: Mapping[str, Any], kind: type[T]) -> tuple[T | None, list[str]]:
    """Convert decoded JSON to a type.

    Returns:
        The value, or None if a required field is missing; and one text for each value that was left out, with its place
        and the reason.

    """
    problems: list[str] = []
    try:
        return msgspec.convert(raw, kind), problems
    except (msgspec.ValidationError, ValueError, OverflowError, RecursionError):
        pass  # it has invalid values
    value = _salvaged(raw, kind, "", problems)
    return None if value is _NOTHING else value, problems


def _salvaged(raw: Any, kind: Any, place: str, problems: list[str]) -> Any:
    """Return the valid part of a value, or `_NOTHING`. Append the problems to `problems`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(raw, dict):
        return _struct(raw, kind, place, problems)
    if origin is list and isinstance(raw, list):
        return list(_fitting(enumerate(raw), arguments[0], place, problems))
    if origin is dict and isinstance(raw, dict):
        return dict(_fitting_items(raw, arguments, place, problems))
    if origin in {typing.Union, types.UnionType} and raw is not None and len(arguments) == 2:  # noqa: PLR2004 - X or None
        (inner,) = (one for one in arguments if one is not type(None))
        return _salvaged(raw, inner, place, problems)
    try:
        return msgspec.convert(raw, kind)
    except (msgspec.ValidationError, ValueError, OverflowError, RecursionError) as error:
        problems.append(f"{place or 'the file'}: {error}")
        return _NOTHING


def _struct(raw: Mapping[str, Any], kind: type[msgspec.Struct], place: str, problems: list[str]) -> Any:
    hints, values = typing.get_type_hints(kind, include_extras=True), {}
    for field in msgspec.structs.fields(kind):
        here = f"{place}.{field.encode_name}".lstrip(".")
        value = _NOTHING
        if field.encode_name in raw:
            value = _salvaged(raw[field.encode_name], hints[field.name], here, problems)
        elif field.required:
            problems.append(f"{here}: missing")
        if value is not _NOTHING:
            values[field.name] = value
        elif field.required:
            return _NOTHING
    return kind(**values)


def _fitting(rows: Any, kind: Any, place: str, problems: list[str]) -> Iterator[Any]:
    for number, row in rows:
        value = _salvaged(row, kind, f"{place}[{number}]", problems)
        if value is not _NOTHING:
            yield value


def _fitting_items(
    raw: Mapping[Any, Any], kinds: tuple[Any, ...], place: str, problems: list[str]
) -> Iterator[tuple[Any, Any]]:
    for key, item in raw.items():
        # Keys of JSON are strings, so keys of other types are converted.
        name = _salvaged(key, kinds[0], place, problems)
        if name is _NOTHING:
            continue
        fitting = _salvaged(item, kinds[1], f"{place}.{name!s:.80}", problems)
        if fitting is not _NOTHING:
            yield name, fitting
