"""Features of made videos, in the range of the real ones, from which labels can be told in part.

A class has two modes, such as a game filmed from the room and one recorded from the screen. Its video-level
feature is a part common to both plus or minus a part of the mode, so a linear model sees only the common one and a
mixture of experts both. A video is the sum over its labels, each of a strength of its own (some are hardly to be
seen), plus noise. The sound tells less than the picture. Classes with one vocabulary look nearly the same and sound
the same: of these the title tells more.

Mean and variance of each dimension follow curves fitted by least squares to those of the 1024 + 128 video-level
features over YouTube-8M v1's training videos (root of the mean squared error): variance of dimension i
floor + height / (1 + i / reach), with 0.170, 0.380, 40 for visual (0.009, real range 0.17 to 0.62) and 0.270,
0.505, 29 for audio (0.033, real range 0.34 to 0.91); size of the mean with 0.0006, 0.034, 5.6 (0.002) and
0.005, 0.050, 6.6 (0.010). As there, about six means of ten are above zero.

Frames wander about the video's feature: slow drift and noise of a variance of about 0.9 together, as in the one
real video at hand (0.94 and 0.85), before they are cut to the range of a byte. All is integer arithmetic on a grid
of 2**-12 (see `draws`).
"""

import dataclasses

import numpy as np

from mmvid.draws import Draws
from mmvid.records.made.words import LABELS

BLOCK = 500  # videos drawn from one stream
GRID = 1 << 12  # steps of a feature's value in 1
LOWEST, HIGHEST = -8160, 8224  # what the bytes 0 and 255 stand for, in steps: no mean of frames lies outside

_SCALE_BITS = 16
# A bell's deviation times 21 is a variance of 0.6, times 15 one of 0.3; drift keeps seven eighths of itself from
# frame to frame, so steps of 7 keep it there: 7**2 / (1 - (7 / 8)**2) is nearly 15**2.
_NOISE, _DRIFT_START, _DRIFT_STEP = 21, 15, 7
_RAW_NOISE = 56
_STRENGTHS = (1, 2, 3, 4, 4, 5, 5, 6)  # how much of a label is to be seen, each as likely


@dataclasses.dataclass(frozen=True)
class Curve:
    """floor + height / (1 + i / reach): divisions and sums, which round alike everywhere."""

    floor: float
    height: float
    reach: float

    def __call__(self, size: int) -> np.ndarray:
        return self.floor + self.height / (1 + np.arange(size) / self.reach)


@dataclasses.dataclass(frozen=True)
class Modality:
    """How a modality's features are made.

    Attributes:
        size: D.
        variance, mean: curves of the real statistics.
        reach: dimension in which a class's parts are half as large as in the first.
        common, mode: size of a class's common part and of its mode's, for a strength of 1, in 56ths of the noise.
        likeness: how much of its picture or sound a class has of its partner (see `Label`), in parts of eight.
    """

    name: str
    size: int
    variance: Curve
    mean: Curve
    reach: int
    common: int
    mode: int
    likeness: int


VISUAL = Modality("visual", 1024, Curve(0.170, 0.380, 40), Curve(0.0006, 0.034, 5.6), 128, 8, 12, 7)
AUDIO = Modality("audio", 128, Curve(0.270, 0.505, 29), Curve(0.005, 0.050, 6.6), 32, 8, 8, 8)


class FeatureDraws:
    """Draws the features of one modality for videos whose labels are known."""

    def __init__(self, seed: int, modality: Modality, label_sets: np.ndarray):
        """Args: label_sets: of videos by which the features are scaled, ``(N, 5)`` as `LabelDraws` gives them."""
        self.modality = modality
        self._seed = seed
        self._prototypes = self._draw_prototypes(Draws(seed, f"{modality.name} prototypes"))
        raw = self._sum(Draws(seed, f"{modality.name} calibration"), label_sets)
        count = len(raw)
        total, squares = raw.sum(axis=0), np.square(raw).sum(axis=0)
        deviation = np.sqrt((squares - total * total / count) / count)
        self._centre = total // count
        wanted = np.sqrt(modality.variance(modality.size)) * (GRID << _SCALE_BITS)
        self._scale = np.rint(wanted / deviation).astype(np.int64)
        above = Draws(seed, f"{modality.name} means").integers(10, modality.size) < 6
        size = np.rint(modality.mean(modality.size) * GRID).astype(np.int64)
        self._mean = np.where(above, size, -size)

    def draw(self, number: int, label_sets: np.ndarray) -> np.ndarray:
        """Video-level features of block `number` in steps of the grid: int32 ``(videos, D)``.

        Args:
            label_sets: the block's, ``(videos, 5)``.
        """
        raw = self._sum(Draws(self._seed, f"{self.modality.name} videos", number), label_sets) - self._centre
        steps = (raw * self._scale >> _SCALE_BITS) + self._mean
        return steps.clip(LOWEST, HIGHEST).astype(np.int32)

    def draw_frames(self, video: int, level: np.ndarray, count: int) -> np.ndarray:
        """Frames of one video in steps of the grid: int32 ``(count, D)``, whose mean is nearly its `level`.

        Args:
            video: its number in the data set.
            level: its video-level feature in steps of the grid, ``(D,)``.
        """
        draws = Draws(self._seed, f"{self.modality.name} frames", video)
        drift = draws.bells(self.modality.size) * np.int32(_DRIFT_START)
        wander = draws.bells(count, self.modality.size) * np.int32(_NOISE)
        for frame, step in zip(wander, draws.bells(count, self.modality.size), strict=True):
            drift = (drift * 7 >> 3) + step * np.int32(_DRIFT_STEP)
            frame += drift
        return level + wander - wander.sum(axis=0, dtype=np.int32) // np.int32(count)

    def _draw_prototypes(self, draws: Draws) -> np.ndarray:
        """Feature of each class and mode before scaling, int32 ``(C * 2, D)``."""
        size, like = self.modality.size, self.modality.likeness
        parts = draws.bells(len(LABELS), 2, size)
        for label in LABELS:
            if label.partner is not None and label.partner < label.id:
                parts[label.id] = (like * parts[label.partner] + (8 - like) * parts[label.id]) >> 3
        fading = (256 * self.modality.reach // (self.modality.reach + np.arange(size))).astype(np.int32)
        parts = parts * fading >> 8
        common, mode = self.modality.common * parts[:, 0], self.modality.mode * parts[:, 1]
        return np.stack([common + mode, common - mode], axis=1).reshape(-1, size)

    def _sum(self, draws: Draws, label_sets: np.ndarray) -> np.ndarray:
        """Unscaled features, int64 ``(videos, D)``."""
        videos, most = label_sets.shape
        modes = draws.integers(2, videos, most)
        strengths = np.array(_STRENGTHS)[draws.integers(len(_STRENGTHS), videos, most)]
        strengths = np.where(label_sets < 0, 0, strengths).astype(np.int32)
        rows = np.maximum(label_sets, 0) * 2 + modes
        total = draws.bells(videos, self.modality.size) * np.int32(_RAW_NOISE)
        for slot in range(most):
            total += self._prototypes[rows[:, slot]] * strengths[:, slot, None]
        return total.astype(np.int64)
