"""How labelled pictures are read."""

import re
from typing import Literal

from pydantic import field_validator, model_validator

from mmvid.config import Options, option

WithoutMask = Literal["stop", "skip", "empty"]


class MaskOptions(Options):
    """How labelled pictures are read."""

    categories: tuple[str, ...] = option((), "what masks are wanted of, by name, one mask each; none: all there are")
    frames: str = option("", "the folder of the pictures, where it is not that of their masks")
    mask_values: tuple[str, ...] = option(
        (), "what the values of mask pictures show: robot=1,block=2+3 or robot=10-19; none: all but 0 is one thing"
    )
    trajectory: str = option(
        "", "regular expression whose group 1 is a picture's trajectory, held against its place; empty: see the log"
    )
    splits: Literal["keep", "draw"] = option(
        "keep", "the export's folders train, valid, test as they are, or drawn anew"
    )
    split_by: Literal["trajectory", "frame"] = option(
        "trajectory", "what lies in one split only; frame: as the paper, neighbours may lie in two"
    )
    without_mask: WithoutMask = option(
        "stop", "a picture that nobody labelled: stop, skip it, or take it as empty, nothing to be seen"
    )
    empty_mask: Literal["keep", "skip", "stop"] = option("keep", "a labelled picture that shows none of the categories")
    clip_resolution: int | None = option(None, "cut to a centred square and resized to this; empty: as they are", ge=4)

    @field_validator("categories")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"categories must be named once each, got {', '.join(value)}")
        return value

    @field_validator("trajectory")
    @classmethod
    def _grouped(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"trajectory must be a regular expression: {error}") from None
        if value and groups < 1:
            raise ValueError(f"trajectory must have a group in brackets, such as (traj_\\d+), got {value!r}")
        return value

    @model_validator(mode="after")
    def _values(self) -> "MaskOptions":
        self.values_of_categories()
        return self

    def values_of_categories(self) -> dict[str, list[int]]:
        """`mask_values` as numbers by category.

        Raises:
            ValueError: if a part is not as the help says, or a value is two categories'.
        """
        found: dict[str, list[int]] = {}
        for part in self.mask_values:
            name, equals, values = part.partition("=")
            ranges = [re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", each.strip()) for each in values.split("+")]
            if not name.strip() or not equals or not all(ranges) or name.strip() in found:
                raise ValueError(f"mask_values must be like robot=1,block=2+3, each name once, got {part!r}")
            bounds = [(int(each[1]), int(each[2] or each[1])) for each in ranges]
            if any(high < low or high > 65535 for low, high in bounds):
                raise ValueError(f"mask_values must be from 0 to 65535, and a range from low to high, got {part!r}")
            found[name.strip()] = sorted({value for low, high in bounds for value in range(low, high + 1)})
        every = [value for values in found.values() for value in values]
        if len(set(every)) < len(every):
            twice = next(value for value in every if every.count(value) > 1)
            raise ValueError(f"mask_values must give a value to one category, {twice} has two")
        return found
