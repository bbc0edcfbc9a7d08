"""Labelled frames of a bright disc over noise, small enough to be learnt in seconds."""

import numpy as np
import pytest

from mmvid.labelled import LabelledFrames

SPLITS = {"train": 24, "dev": 8, "validate": 8}


def discs(side: int = 16, seed: int = 0, splits: dict[str, int] = SPLITS) -> LabelledFrames:
    """Two frames a trajectory; `robot` is the disc, `block` a square that is elsewhere."""
    generator = np.random.default_rng(seed)
    count = sum(splits.values())
    rows, columns = np.mgrid[:side, :side]
    middles = generator.integers(side // 4, side - side // 4, (count, 2))
    masks = np.zeros((count, 2, side, side), bool)
    masks[:, 0] = (rows - middles[:, :1, None]) ** 2 + (columns - middles[:, 1:, None]) ** 2 < (side / 5) ** 2
    masks[:, 1, -2:, -2:] = True
    frames = generator.integers(0, 90, (count, side, side, 3)).astype(np.uint8)
    frames[masks[:, 0]] += 130
    return LabelledFrames(
        ids=tuple(f"frame{number}" for number in range(count)),
        frames=frames,
        masks=masks,
        categories=("robot", "block"),
        trajectory=tuple(f"scene{number // 2}" for number in range(count)),
        splits=tuple(split for split, number in splits.items() for _ in range(number)),
        title="discs (made)",
        made=True,
    )


@pytest.fixture(scope="session")
def labelled() -> LabelledFrames:
    """Discs, with the category `robot` only."""
    whole = discs()
    return LabelledFrames(**{**vars(whole), "masks": whole.masks[:, :1], "categories": ("robot",)})
