"""Which labels a made video has: counts that fall as the real ones do, and labels that go together.

The share of the label of rank r (from 1) is proportional to (r + q)^-s, the law of Zipf and Mandelbrot, over the
demo's 100 ranks. s = 0.45 and q = -0.25 were fitted to the shares of the ten commonest of the 4716 labels in
YouTube-8M v1's training videos (4,906,660 videos, 16,639,392 labels): the commonest has 5.18 % here and 5.17 %
there, the ten commonest 25.5 % and 25.6 %; between them the cumulated shares differ by at most 1.3 points. Beyond
rank ten the real shares fall faster, since 4706 labels and not 90 divide the rest.

A video is of one topic and has 1 to 5 labels, 3.4 on average as there. About two thirds of them are of its topic.
"""

import numpy as np

from mmvid.draws import Draws
from mmvid.records.made.words import LABELS, TOPICS

EXPONENT, SHIFT = 0.45, -0.25
LABELS_OF_HUNDRED = (8, 18, 24, 26, 24)  # videos of a hundred that have 1, 2, 3, 4 and 5 labels
MOST = len(LABELS_OF_HUNDRED)

_WHOLE = 1 << 20  # shares are integers out of this
_TOPICAL_OF_HUNDRED = 65  # more, and the commonest label would be due more than once in videos of its topic


def shares() -> np.ndarray:
    """Each class's share of all label appearances, in parts of 2**20: int64 ``(C,)``."""
    law = [(rank + SHIFT) ** -EXPONENT for rank in range(1, len(LABELS) + 1)]
    total = sum(law)
    # A power's last bit differs between C libraries; what is left of it after rounding to 2**-20 does not.
    parts = np.array([round(value / total * _WHOLE) for value in law], np.int64)
    parts[-1] += _WHOLE - parts.sum()
    return parts


class LabelDraws:
    """Draws label sets whose expected counts follow `shares` exactly."""

    def __init__(self):
        parts = shares()
        topic = np.array([TOPICS.index(label.topic) for label in LABELS])
        self._masses = np.array([parts[topic == t].sum() for t in range(len(TOPICS))])
        inside = topic[None] == np.arange(len(TOPICS))[:, None]  # (topics, C)
        topical = np.where(inside, parts[None] * _WHOLE // self._masses[:, None], 0)
        self._parts = (_TOPICAL_OF_HUNDRED * topical + (100 - _TOPICAL_OF_HUNDRED) * parts[None]) // 100
        self._parts[:, -1] += _WHOLE - self._parts.sum(axis=1)

    def draw(self, draws: Draws, videos: int) -> np.ndarray:
        """Label sets of `videos` videos: ids in ascending order, then -1; int64 ``(videos, 5)``.

        Each set is a systematic sample: the classes lie in random order on a line, as long as they are likely,
        and every whole step from a random start hits one. So no label is drawn twice, and each label's chance
        is the number of labels times its share in the topic.
        """
        topic = np.searchsorted(self._masses.cumsum(), draws.integers(_WHOLE, videos), side="right")
        number = 1 + np.searchsorted(np.cumsum(LABELS_OF_HUNDRED), draws.integers(100, videos), side="right")
        start = draws.integers(_WHOLE, videos)
        order = np.argsort(draws.raw(videos, len(LABELS)), axis=1, kind="stable")  # (videos, C)
        ends = np.take_along_axis(self._parts[topic], order, axis=1).cumsum(axis=1) * number[:, None]
        steps = (ends - start[:, None] + _WHOLE - 1) // _WHOLE  # steps taken up to the end of each class
        hit = np.diff(steps, axis=1, prepend=0) > 0
        sets = np.where(hit, order, len(LABELS))
        sets = np.sort(sets, axis=1)[:, :MOST]
        return np.where(sets == len(LABELS), -1, sets)
