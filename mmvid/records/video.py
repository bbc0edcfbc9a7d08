"""One video, or one rated segment of one, as its record holds it, and what can be wrong with a record."""

import dataclasses
import os

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Video:
    """One video. Only the modalities that its record has are there.

    Attributes:
        id: its id; empty where the data set hides it.
        labels: class ids, int32 ``(n,)``, ascending and distinct; None where the record has no label key.
        features: video level, modality -> float32 ``(D,)``; of a frame-level record the mean over its kept
            frames.
        frames: frame level, modality -> ``(T, D)``, uint8 (quantised) or float32. T may differ between
            modalities.
        num_frames: T of the modality that the schema lists first among those in `frames`; 1 where there are
            none.
        start: of a segment the second at which it begins; None for a whole video. The other attributes are then
            those of the segment, but for the id.
        rated: class ids that somebody has rated the segment for, int32 ``(r,)``, ascending and distinct: `labels` are
            those that were found in it, and of all other classes nothing is known. None where nobody rated it.
    """

    id: str
    labels: np.ndarray | None
    features: dict[str, np.ndarray]
    frames: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    num_frames: int = 1
    start: int | None = None
    rated: np.ndarray | None = None


class BadRecord(ValueError):
    """A record whose bytes are intact but that does not fit the schema.

    Attributes:
        reason: the kind of fault, for counting: `unreadable`, `id`, `label`, `no feature`, `length`, `not
            finite` or `rating`.
        what: the fault in words.
        id: the video's id, or None where it is not known.
        path, offset: the file, and the byte at which the record begins; None where they are not known.
    """

    def __init__(
        self,
        reason: str,
        what: str,
        id: str | None = None,
        path: str | os.PathLike | None = None,
        offset: int | None = None,
    ):
        path = None if path is None else os.fspath(path)
        super().__init__(reason, what, id, path, offset)  # all of them, so that it survives pickling
        self.reason, self.what, self.id, self.path, self.offset = reason, what, id, path, offset

    def __str__(self) -> str:
        place = "" if self.path is None else f"{self.path}: record at byte {self.offset}: "
        return f"{place}{self.what}" if self.id is None else f"{place}video {self.id!r}: {self.what}"

    def at(self, path: str | os.PathLike, offset: int) -> "BadRecord":
        """The same fault with the place where its record lies."""
        return BadRecord(self.reason, self.what, self.id, path, offset)
