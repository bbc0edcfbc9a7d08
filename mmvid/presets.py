"""Presets: named values for the options of a model and of its training; what is given beats the preset.

A command that has presets reads its options with `unset`, where each is empty until somebody gives it, and completes
them with `settle`.
"""

import copy
import functools
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError, create_model

from mmvid.config import Options, explain

Config = TypeVar("Config", bound=Options)


@functools.cache
def unset(kind: type[Options], names: frozenset[str] | None = None) -> type[Options]:
    """The options of a config with their checks, but some (None: all) have no value until it is given."""
    fields: dict[str, Any] = {}
    for name in kind.model_fields if names is None else sorted(names):
        field = kind.model_fields[name]
        empty = copy.copy(field)
        empty.default, empty.annotation = None, field.annotation | None
        empty.description = f"{field.description}; empty: as the preset says"
        fields[name] = (empty.annotation, empty)
    base = Options if names is None else kind
    return create_model(f"Unset{kind.__name__}", __base__=base, __doc__=kind.__doc__, **fields)


def settle(kind: type[Config], given: Options, preset: Mapping[str, Any]) -> Config:
    """The config of what is given, else of the preset, else of the config's own defaults.

    Args:
        kind: the config.
        given: an instance of `unset(kind)`.
        preset: values by option name; those of other configs are passed over.

    Raises:
        ValueError: if the values do not go together; one sentence.
    """
    values = {name: value for name, value in preset.items() if name in kind.model_fields}
    values |= {name: value for name, value in given if value is not None}
    try:
        return kind(**values)
    except ValidationError as error:
        raise ValueError(explain(error)) from error
