"""Says about settings what a person needs: where the wrong one is, and what there is to set."""

import difflib
import os
import types
import typing
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from connector.errors import Misconfigured
from connector.yaml_file import YamlFile

_WORDS = {int: "a whole number", bool: "true or false", str: "text", Path: "a path"}


class BadSettings(Misconfigured):
    """A setting is unknown or has a value it cannot have."""

    code = "config.bad_settings"


def bad_settings(
    error: ValidationError | TypeError,
    *,
    model: type[BaseModel],
    file: YamlFile | None,
    env_prefix: str,
) -> BadSettings:
    """Turn what the checker found into one message with a line per mistake, and one remedy."""
    if isinstance(error, TypeError):
        return BadSettings(f"The settings have a key that is no word: {error}.")
    messages, remedies = [], []
    for found in error.errors(include_url=False, include_input=False):
        # Deeper than section and key are parts of a value, and marks of the checker itself.
        location = found["loc"][:2]
        place = _place(location, file=file, env_prefix=env_prefix)
        name = ".".join(str(part) for part in location)
        if found["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            messages.append(f"{place}: there is no setting {name}.")
            remedies.append(_nearest(model, location))
        else:
            messages.append(f"{place}: {name} is wrong: {_lower(found['msg'])}.")
            remedies.append(_expected(model, location))
    remedy = " ".join(dict.fromkeys(one for one in remedies if one))
    return BadSettings("\n".join(dict.fromkeys(messages)), remedy=remedy)


def section_of(field: FieldInfo) -> type[BaseModel]:
    """Return the class of a field that holds a section."""
    section = field.annotation
    assert isinstance(section, type)
    assert issubclass(section, BaseModel)
    return section


def _place(location: tuple[int | str, ...], *, file: YamlFile | None, env_prefix: str) -> str:
    wanted = f"{env_prefix}{'__'.join(str(part) for part in location)}".upper()
    for variable in os.environ:
        if variable.upper() == wanted:
            return f"Environment variable {variable}"
    if file is not None and file.has(location[:1]):
        return f"{file.path}, line {file.line_of(location)}"
    return "Settings"


def _nearest(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    fields = model.model_fields
    if len(location) > 1:
        fields = section_of(fields[str(location[0])]).model_fields
    near = difflib.get_close_matches(str(location[-1]), fields, n=1)
    if near:
        return f"Did you mean {'.'.join([*map(str, location[:-1]), near[0]])}?"
    return f"Remove it; there are: {', '.join(fields)}."


def _expected(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    field = model.model_fields.get(str(location[0]))
    if field is None or len(location) < 2:
        return f"{location[0]} is a section: write its keys below it, indented."
    inner = section_of(field).model_fields[str(location[1])]
    name = ".".join(str(part) for part in location)
    return f"Write {name} as {_kind(inner)}: {inner.description}"


def _kind(field: FieldInfo) -> str:
    kinds = typing.get_args(field.annotation) or (field.annotation,)
    if isinstance(field.annotation, types.GenericAlias):
        return "a list" if typing.get_origin(field.annotation) in (list, tuple) else "a map"
    words = []
    for kind in kinds:
        if isinstance(kind, str):
            words.append(kind)
        elif kind is SecretStr:
            words.append("text")
        elif kind is not type(None):
            words.append(_WORDS.get(kind, "a value"))
    return " or ".join(words)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def example(model: type[BaseModel]) -> str:
    """Return config.example.yaml: every setting with its default and one reason."""
    parts = [
        "# Every setting, with its default. Copy what you change to config.yaml.\n"
        "# A key a.b is also the variable L2C_A__B and the secret file l2c_a__b; secrets belong\n"
        "# there. Made by `make config-example`; do not edit.\n"
    ]
    for name, field in model.model_fields.items():
        section = section_of(field)
        parts.append(f"\n# {(section.__doc__ or '').strip()}\n{name}:\n")
        for key, inner in section.model_fields.items():
            parts.append(f"  # {inner.description}\n")
            parts.append(f"  {key}: {_yaml(inner.default)}\n")
    return "".join(parts)


def _yaml(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    plain = str(value) if isinstance(value, Path | Enum) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=1000).removesuffix("...\n").strip()
