"""Converts settings (frozen dataclasses) to and from nested tables of TOML and JSON. Importable without torch."""

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from runner.errors import UserError

OTHER_NAMES = {"mlp_expansion_factor": "mlp_ratio"}  # the name in a source → the name in this project
Need = Callable[[bool, str], None]  # `need` with its origin filled in
Choice = Callable[[dict[str, Any], str], type]  # (table, its origin for errors) → the dataclass to build from it


def later(default: Any) -> Any:
    """A dataclass field for a setting that was added after runs were published. At its default it is left out of a
    spec's plain form, so that those runs keep their identity."""
    return field(default=default, metadata={"later": True})


def need(where: str, holds: bool, message: str) -> None:
    """Raise a `UserError` with `message` unless `holds`; `where` names the origin of the setting."""
    if not holds:
        raise UserError(f"{where}: {message}")


def plain(settings: Any) -> dict[str, Any]:
    """The settings as plain JSON types; fields declared with `later` are left out at their defaults."""

    def of(part: Any) -> Any:
        if not dataclasses.is_dataclass(part):
            return part
        values = [(f, getattr(part, f.name)) for f in dataclasses.fields(part)]
        return {f.name: of(v) for f, v in values if not (f.metadata.get("later") and v == f.default)}

    return json.loads(json.dumps(of(settings), allow_nan=False))


def build(cls: type, data: Any, where: str, path: str = "", choices: Mapping[str, Choice] | None = None) -> Any:
    """Build a dataclass from nested tables, checking each value against the type of its field.

    `choices` has, by field, the functions that choose the class of a table from its content. Raises a `UserError`,
    which starts with `where`, for the first unknown setting or value of a wrong type; `path` is the dotted path of the
    table.
    """
    if not isinstance(data, dict):
        raise UserError(f"{where}: [{path.rstrip('.')}] must be a table, not {data!r}")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    values = {}
    for key, value in data.items():
        name = OTHER_NAMES.get(key, key)
        if name not in fields:
            raise UserError(f"{where}: unknown setting {path}{key}; known: {', '.join(fields)}")
        if name in values:
            raise UserError(f"{where}: {path}{key} and {path}{name} are one setting; give one of them")
        if choices and name in choices:
            kind = choices[name](value if isinstance(value, dict) else {}, where)
            values[name] = build(kind, value, where, f"{path}{key}.")
        else:
            values[name] = _convert(fields[name].type, value, where, path + key)
    return cls(**values)


def _convert(kind: Any, value: Any, where: str, path: str) -> Any:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return build(kind, value, where, path + ".")
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    for each in kinds:
        if _fits(each, value):
            if typing.get_origin(each) is tuple:
                return tuple(map(typing.get_args(each)[0], value))
            return None if value is None else each(value)
    wanted = " or ".join(WANTED[each] for each in kinds if each in WANTED)
    raise UserError(f"{where}: {path} must be {wanted}, not {value!r}")


WANTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple[float, ...]: "a list of numbers, one a layer",
    tuple[str, ...]: "a list of texts",
    tuple[int, int]: "a pair of token positions [start, stop]",
}


def _fits(kind: Any, value: Any) -> bool:
    if kind is types.NoneType:
        return value is None
    if typing.get_origin(kind) is tuple:
        first, last = typing.get_args(kind)
        is_list = isinstance(value, list | tuple) and (last is ... or len(value) == 2)
        return is_list and all(_fits(first, each) for each in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)
