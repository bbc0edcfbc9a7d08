"""A small store of clips for tests: a bright square that moves over a dark picture, right or down."""

from pathlib import Path

import numpy as np

from mmvid.clips.clip import Clip
from mmvid.clips.ingest import write_clips
from mmvid.clips.store import ClipStore


def square_clips(folder: Path, clips: int = 20, frames: int = 6, side: int = 16, labelled: bool = False) -> ClipStore:
    """The store; the clips' labels say where the square moves."""
    generator = np.random.default_rng(0)

    def made():
        for number in range(clips):
            pictures = np.full((frames + number % 2, side, side, 3), 40, np.uint8)
            x, y = generator.integers(0, side - 4, 2)
            moves = (1, 0) if number % 3 else (0, 1)
            for step, picture in enumerate(pictures):
                left, top = (x + step * moves[0]) % (side - 3), (y + step * moves[1]) % (side - 3)
                picture[top : top + 4, left : left + 4] = generator.integers(150, 255, 3)
            label = ("down" if moves[1] else "right") if labelled else None
            yield Clip(id=f"clip{number}", trajectory=f"scene{number}", split="train", frames=pictures, label=label)

    return write_clips(folder, made(), name="squares", dev_share=0.2, validate_share=0.2)
