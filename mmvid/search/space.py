"""What a search draws from: the ranges that configs state, narrowed, widened or fixed by words or a YAML file.

Space.of((moe.Config, TrainConfig), "learning_rate=1e-4:1e-2:log,experts=4,loss=cross_entropy|hinge")
"""

import dataclasses
import difflib
import math
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from mmvid.config import Options, explain, flags

Value = bool | int | float | str


class Draw(Protocol):
    """Where values come from: an Optuna trial."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_categorical(self, name: str, choices: Sequence[Value]) -> Value: ...


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool
    whole: bool

    def draw(self, name: str, draw: Draw) -> Value:
        if self.whole:
            return draw.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return draw.suggest_float(name, self.low, self.high, log=self.log)

    def points(self, count: int) -> list[Value]:
        """At most `count` values from end to end, evenly apart (in the logarithm where the range is logarithmic)."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        steps = [low + (high - low) * step / max(1, count - 1) for step in range(count)]
        values = [math.exp(step) if self.log else step for step in steps]
        values = [min(max(value, self.low), self.high) for value in values]  # exp(log(x)) may miss x by a bit
        return sorted({round(value) for value in values}) if self.whole else values

    def ends(self) -> list[Value]:
        return [int(self.low), int(self.high)] if self.whole else [self.low, self.high]

    def __str__(self) -> str:
        return f"{self.low:g}:{self.high:g}{':log' if self.log else ''}"


@dataclasses.dataclass(frozen=True)
class Choices:
    """One of some values."""

    values: tuple[Value, ...]

    def draw(self, name: str, draw: Draw) -> Value:
        return draw.suggest_categorical(name, self.values)

    def points(self, count: int) -> list[Value]:
        return list(self.values)

    def ends(self) -> list[Value]:
        return list(self.values)

    def __str__(self) -> str:
        return "|".join(map(str, self.values))


@dataclasses.dataclass(frozen=True)
class Space:
    """The options of some configs: those that are drawn, those that are fixed, the others at their defaults.

    Attributes:
        kinds: the configs.
        drawn: option -> range or choices, in the order the configs state them.
        fixed: option -> the value it has in every trial.
    """

    kinds: tuple[type[Options], ...]
    drawn: dict[str, Range | Choices]
    fixed: dict[str, Any]

    @classmethod
    def of(cls, kinds: Sequence[type[Options]], words: str = "") -> "Space":
        """The space of configs: their own `search=` ranges, and on top of them what `words` say.

        Args:
            kinds: the configs; no two may state one option.
            words: `option=low:high`, `option=low:high:log`, `option=a|b|c` or `option=value`, with commas between;
                or the path of a YAML file: `option: value`, a list of choices, or `{low: , high: , log: }`.

        Raises:
            ValueError: if an option is unknown, a value is none that the option takes, a range is empty, or nothing
                is left to search for.
        """
        fields = {name: field for kind in kinds for name, field in flags(kind).items()}
        drawn = {name: found for name, field in fields.items() if (found := _stated(field)) is not None}
        fixed: dict[str, Any] = {}
        for name, said in _read(words).items():
            if name not in fields:
                near = difflib.get_close_matches(name, fields, n=1)
                hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(fields)}"
                raise ValueError(f"space: there is no option {name!r}{hint}")
            drawn.pop(name, None)
            found = _said(name, said, fields[name])
            if isinstance(found, Range | Choices):
                drawn[name] = found
            else:
                fixed[name] = found
        space = cls(tuple(kinds), {name: drawn[name] for name in fields if name in drawn}, fixed)
        for name, part in space.drawn.items():
            for value in part.ends():
                space.build({name: value})
        space.build({})
        if not drawn:
            raise ValueError("space: every option is fixed; there is nothing to search for")
        return space

    def draw(self, draw: Draw) -> dict[str, Value]:
        """A value for each drawn option."""
        return {name: part.draw(name, draw) for name, part in self.drawn.items()}

    def build(self, values: dict[str, Any], **others: Any) -> tuple[Options, ...]:
        """The configs with drawn values; options that are neither drawn nor fixed have their defaults.

        Raises:
            ValueError: if a config refuses its values.
        """
        known = self.fixed | others | values
        try:
            return tuple(kind(**{name: known[name] for name in flags(kind) if name in known}) for kind in self.kinds)
        except ValidationError as error:
            raise ValueError(f"space: {explain(error)}") from error

    def describe(self) -> dict[str, str]:
        """Option -> what it is drawn from or fixed at, in words that `of` reads; equal spaces have equal words."""
        fixed = {name: f"{value}" for name, value in self.fixed.items()}
        return {name: str(part) for name, part in self.drawn.items()} | dict(sorted(fixed.items()))

    def grid(self, points: int) -> dict[str, list[Value]]:
        """The values of each drawn option on a grid with at most `points` values of a range."""
        return {name: part.points(points) for name, part in self.drawn.items()}


def _stated(field: FieldInfo) -> Range | Choices | None:
    """What an option states with `search=`: two numbers are a range, anything else is choices."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    search = extra.get("search")
    if not search:
        return None
    number = _number(field)
    if number is not None and len(search) == 2:
        return Range(*search, log=bool(extra.get("log")), whole=number is int)
    return Choices(tuple(search))


def _read(words: str) -> dict[str, Any]:
    if not words.strip():
        return {}
    if Path(words).suffix in (".yaml", ".yml"):
        try:
            said = yaml.safe_load(Path(words).read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"space: {words} must be YAML: {' '.join(str(error).split())}") from error
        if not isinstance(said, dict):
            raise ValueError(f"space: {words} must hold `option: value` lines, got {said!r}")
        return said
    said = {}
    for part in re.split(r",(?=\s*\w+\s*=)", words):  # a value may have commas of its own: modalities=visual,audio
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"space: {part!r} must be option=value, or the whole a YAML file's path")
        if name.strip() in said:
            raise ValueError(f"space: {name.strip()} is given twice")
        said[name.strip()] = value.strip()
    return said


def _said(name: str, said: Any, field: FieldInfo) -> Range | Choices | Any:
    """Ranges and choices as `Range` and `Choices`; anything else is the value that the option is fixed at."""
    number = _number(field)
    if isinstance(said, str) and "|" in said:
        said = [word.strip() for word in said.split("|")]
    elif isinstance(said, str) and ":" in said and number is not None:
        low, high, *rest = said.split(":")
        if rest not in ([], ["log"]):
            raise ValueError(f"space: {name} must be low:high or low:high:log, got {said}")
        said = {"low": low, "high": high, "log": rest == ["log"]}
    if isinstance(said, dict):
        return _range(name, said, number)
    if isinstance(said, list):
        if not said:
            raise ValueError(f"space: {name} must have at least one choice, got none")
        return Choices(tuple(_plain(value, number) for value in said))
    return _plain(said, number)


def _range(name: str, said: dict[str, Any], number: type | None) -> Range:
    if number is None:
        raise ValueError(f"space: {name} is not a number, so it has no range; give choices")
    if not {"low", "high"} <= said.keys() <= {"low", "high", "log"}:
        raise ValueError(f"space: {name} must have low, high and perhaps log, got {', '.join(map(str, said))}")
    try:
        low, high = number(said["low"]), number(said["high"])
    except (TypeError, ValueError):
        kind = "whole numbers" if number is int else "numbers"
        raise ValueError(
            f"space: {name} must go from low to high in {kind}, got {said['low']}:{said['high']}"
        ) from None
    log = said.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"space: log of {name} must be true or false, got {log}")
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"space: {name} must go from low to high, got {low:g}:{high:g}")
    if log and low <= 0:
        raise ValueError(f"space: {name} must start above 0 to be logarithmic, got {low:g}")
    return Range(low, high, log=log, whole=number is int)


def _plain(value: Any, number: type | None) -> Value:
    """A value that Optuna stores: a YAML `1e-4` is a word, so numbers are read here; a list becomes its words."""
    if isinstance(value, str) and number is not None:
        try:
            return number(value)
        except ValueError:
            return value  # the config says what is wrong with it
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return value


def _number(field: FieldInfo) -> type | None:
    """int or float where the option is a number (a bool is none)."""
    kinds = (field.annotation, *typing.get_args(field.annotation))
    return next((kind for kind in (int, float) if kind in kinds), None)
