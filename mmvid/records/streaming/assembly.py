"""Videos put together to the arrays of a batch: bytes stay bytes, and what follows a video's end is zeros."""

from collections.abc import Callable

import numpy as np

from mmvid.config import Options, option
from mmvid.records.quantised import mean_frame
from mmvid.records.schema import Schema
from mmvid.records.video import Video

Take = Callable[[str, tuple[int, ...], type], np.ndarray]
"""Gives an array of any values for a name, a shape and a dtype."""


class Wanted(Options):
    """What is read of each video."""

    records: Schema = option(..., "what the records hold")
    modalities: tuple[str, ...] = option(..., "the modalities, in order")
    kinds: dict[str, str] = option(..., "those that have frames -> `uint8` or `float`")
    frames: bool = option(..., "whether frames are read beside video-level features")
    means: bool = option(..., "whether a modality whose frames are read has video-level features, too")

    def is_framed(self, modality: str) -> bool:
        return self.frames and modality in self.kinds

    def most_bytes(self, videos: int) -> int:
        """The most that the arrays of a batch may take."""
        numbers = sum(self.records.features[modality].size for modality in self.modalities)
        row = 4 * numbers * (self.records.max_frames + 1) + 9 * len(self.modalities) + self.records.classes + 16
        return videos * row + 64 * (4 * len(self.modalities) + 4)


class Assembly:
    """The arrays of a batch in the making.

    Each video is copied to its place at once, while the bytes of its record are still in the processor's cache.
    """

    def __init__(self, wanted: Wanted, videos: int, take: Take):
        """
        Args:
            wanted: what to read of each video.
            videos: the most that there will be.
            take: gives the arrays; those of frames are as long as the longest video may be.
        """
        self.wanted, self.schema, self.rows = wanted, wanted.records, 0
        self.num_frames = take("num_frames", (videos,), np.int64)
        self.labels: np.ndarray | None = take("labels", (videos, self.schema.classes), np.bool_)
        self.labels.fill(False)
        self.presence, self.features, self.frames, self.lengths = {}, {}, {}, {}
        for modality in wanted.modalities:
            size = self.schema.features[modality].size
            self.presence[modality] = take(f"presence.{modality}", (videos,), np.bool_)
            if wanted.is_framed(modality):
                dtype = np.uint8 if wanted.kinds[modality] == "uint8" else np.float32
                shape = (videos, self.schema.max_frames, size)
                self.frames[modality] = take(f"frames.{modality}", shape, dtype)
                self.lengths[modality] = take(f"lengths.{modality}", (videos,), np.int64)
            if wanted.means or not wanted.is_framed(modality):
                self.features[modality] = take(f"features.{modality}", (videos, size), np.float32)

    def add(self, video: Video) -> None:
        """Adds a video, which need not be kept."""
        row = self.rows
        self.rows += 1
        self.num_frames[row] = video.num_frames if self.wanted.frames else 1
        if video.labels is None:
            self.labels = None
        elif self.labels is not None:
            self.labels[row, video.labels] = True
        for modality, presence in self.presence.items():
            framed = modality in self.frames
            has = modality in video.features or modality in video.frames
            presence[row] = modality in video.frames if framed else has
            if modality in self.features:
                self.features[modality][row] = self._vector(video, modality) if has else 0
            if framed:
                found = video.frames.get(modality, ())[: video.num_frames]
                self.lengths[modality][row] = len(found)
                if len(found):
                    self.frames[modality][row, : len(found)] = found

    def finish(self) -> dict[str, np.ndarray]:
        """The arrays of the B videos that were added, by name.

        labels              bool (B, C); not there unless all videos have labels
        num_frames          int64 (B,)
        presence.<m>        bool (B,), of the frames where these are read
        features.<m>        float32 (B, D); not there of modalities whose frames are read without means
        frames.<m>          uint8 or float32 (B, T, D), T the longest video's; a view of longer ones
        lengths.<m>         int64 (B,), the frames that each video has in it
        """
        rows, longest = self.rows, int(self.num_frames[: self.rows].max())
        arrays = {"num_frames": self.num_frames[:rows]}
        if self.labels is not None:
            arrays["labels"] = self.labels[:rows]
        arrays |= {f"presence.{modality}": array[:rows] for modality, array in self.presence.items()}
        arrays |= {f"features.{modality}": array[:rows] for modality, array in self.features.items()}
        for modality, frames in self.frames.items():
            lengths = self.lengths[modality][:rows]
            for row, length in enumerate(lengths.tolist()):
                frames[row, length:longest] = 0
            arrays |= {f"frames.{modality}": frames[:rows, :longest], f"lengths.{modality}": lengths}
        return arrays

    def _vector(self, video: Video, modality: str) -> np.ndarray:
        """A stored mean, or that of the frames."""
        if modality in video.features:
            return video.features[modality]
        return mean_frame(video.frames[modality], *self.schema.features[modality].quantised_range)
