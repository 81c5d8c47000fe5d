"""The base of every configuration object: frozen, checked when built, unknown keys refused."""

from __future__ import annotations

import reprlib
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from phonotaxis.configs.config_error import ConfigError, did_you_mean

__all__ = ["ConfigError", "Frozen", "Model", "build", "changed", "did_you_mean", "shown"]


class Frozen(BaseModel):
    """A configuration object: immutable, without unknown keys, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Model = TypeVar("Model", bound=Frozen)


def build(model: type[Model], data: Any, where: str) -> Model:
    """Build a configuration object from parsed YAML or JSON.

    Args:
        model: the type to build.
        data: mapping of keys to values.
        where: what the user knows the data as (a file's path, usually); opens every error.

    Raises:
        ConfigError: one line a fault, each with the key's path, what came and what is allowed.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping of keys to values, got {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [_explain(model, fault) for fault in error.errors()]
        raise ConfigError("\n".join(f"{where}: {line}" for line in lines)) from None


def changed(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return fields with what is named changed, as deep as both are mappings.

    `options` are those of the `source` beside them: where another source is named, they aren't taken over.
    """
    if "options" in fields and changes.get("source", fields.get("source")) != fields.get("source"):
        fields = {key: value for key, value in fields.items() if key != "options"}
    deeper = {
        key: changed(fields[key], value)
        for key, value in changes.items()
        if isinstance(value, dict) and isinstance(fields.get(key), dict)
    }
    return fields | changes | deeper


def shown(value: Any) -> str:
    """Return what somebody said, cut to 80 characters; aliases that stand for a billion numbers aren't written out."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    text = short.repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _explain(model: type[Frozen], fault: Any) -> str:
    path = ".".join(str(part) for part in fault["loc"]) or "(top level)"
    if fault["type"] == "extra_forbidden":
        allowed = _fields_at(model, fault["loc"][:-1])
        hint = did_you_mean(str(fault["loc"][-1]), allowed)
        return f"{path}: unknown key{hint}" + (f" (known: {', '.join(sorted(allowed))})" if allowed else "")
    if fault["type"] == "missing":
        return f"{path}: required, but absent"
    return f"{path}: {fault['msg']}, got {shown(fault.get('input'))}"


def _fields_at(model: Any, path: tuple[Any, ...]) -> list[str]:
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        model = field.annotation
    return list(getattr(model, "model_fields", {}))
