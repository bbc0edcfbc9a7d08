"""The made videos as one numbered collection, each a pure function of the seed and its number."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from mmvid.draws import Draws
from mmvid.records.made.features import AUDIO, BLOCK, GRID, VISUAL, FeatureDraws
from mmvid.records.made.labels import LabelDraws
from mmvid.records.made.text import draw_text
from mmvid.records.quantised import quantise
from mmvid.records.text import Text
from mmvid.records.video import Video

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MOST_VIDEOS = len(_LETTERS) ** 4  # ids are four letters, as YouTube-8M's
_STRIDE = 8_231_077  # shares no factor with that number, so no id comes twice
_CALIBRATION_VIDEOS = 2048


@dataclasses.dataclass(frozen=True)
class Made:
    """A made video at video level, and its text."""

    number: int
    video: Video
    text: Text


class Collection:
    """All videos that a seed makes; memory is bounded by one block of videos."""

    def __init__(self, seed: int):
        self._seed = seed
        self._labels = LabelDraws()
        sample = self._labels.draw(Draws(seed, "labels of the calibration"), _CALIBRATION_VIDEOS)
        self._features = [FeatureDraws(seed, modality, sample) for modality in (VISUAL, AUDIO)]
        self._first_id = Draws(seed, "ids").below(MOST_VIDEOS)

    def videos(self, start: int, stop: int) -> Iterator[Made]:
        """The videos from number `start` up to before `stop`."""
        for block in range(start // BLOCK, -(-stop // BLOCK)):
            yield from (made for made in self._block(block) if start <= made.number < stop)

    def with_frames(self, made: Made, longest: int) -> Video:
        """The same video at frame level; it has between half of `longest` and `longest` frames."""
        count = longest - Draws(self._seed, "frame counts", made.number).below(longest // 2 + 1)
        frames = {}
        for part in self._features:
            level = np.rint(made.video.features[part.modality.name] * GRID).astype(np.int32)
            steps = part.draw_frames(made.number, level, count)
            frames[part.modality.name] = quantise(steps / GRID)  # exact: few bits, and divided by a power of two
        return Video(made.video.id, made.video.labels, {}, frames, count)

    def _block(self, block: int) -> Iterator[Made]:
        sets = self._labels.draw(Draws(self._seed, "labels", block), BLOCK)
        levels = {part.modality.name: part.draw(block, sets) for part in self._features}
        words = Draws(self._seed, "text", block)
        for row, ids in enumerate(sets):
            number = block * BLOCK + row
            kept = ids[ids >= 0].astype(np.int32)
            vectors = {name: level[row].astype(np.float32) / np.float32(GRID) for name, level in levels.items()}
            yield Made(number, Video(self._id(number), kept, vectors), draw_text(words, kept.tolist()))

    def _id(self, number: int) -> str:
        rest = (self._first_id + number * _STRIDE) % MOST_VIDEOS
        letters = []
        for _ in range(4):
            rest, letter = divmod(rest, len(_LETTERS))
            letters.append(_LETTERS[letter])
        return "".join(letters)
