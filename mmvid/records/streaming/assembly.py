"""Videos put together to the arrays of a batch: bytes stay bytes, and what follows a video's end is zeros."""

from collections.abc import Callable

import numpy as np

from mmvid.records.quantised import mean_frame
from mmvid.records.schema import Schema
from mmvid.records.video import Video

Take = Callable[[str, tuple[int, ...], type], np.ndarray]
"""Gives an array of any values for a name, a shape and a dtype."""


def most_bytes(schema: Schema, modalities: list[str], videos: int) -> int:
    """The most that the arrays of a batch may take."""
    numbers = sum(schema.features[modality].size for modality in modalities)
    row = 4 * numbers * (schema.max_frames + 1) + 9 * len(modalities) + schema.classes + 16
    return videos * row + 64 * (3 * len(modalities) + 4)


def assemble(
    schema: Schema, videos: list[Video], modalities: list[str], kinds: dict[str, str], frames: bool, take: Take
) -> dict[str, np.ndarray]:
    """The arrays of a batch of B videos, by name.

    labels              bool (B, C); not there unless all videos have labels
    num_frames          int64 (B,)
    features.<m>        float32 (B, D)
    presence.<m>        bool (B,), of the frames where these are read
    frames.<m>          uint8 or float32 (B, T, D), T the longest video's
    lengths.<m>         int64 (B,), the frames that each video has in it

    Args:
        modalities: which to read.
        kinds: those that have frames -> `uint8` or `float`.
        frames: whether to read frames beside video-level features.
    """
    count = len(videos)
    arrays = {"num_frames": take("num_frames", (count,), np.int64)}
    arrays["num_frames"][:] = [video.num_frames if frames else 1 for video in videos]
    longest = int(arrays["num_frames"].max())
    if all(video.labels is not None for video in videos):
        labels = arrays["labels"] = take("labels", (count, schema.classes), np.bool_)
        labels.fill(False)
        for row, video in enumerate(videos):
            labels[row, video.labels] = True
    for modality in modalities:
        spec = schema.features[modality]
        framed = frames and modality in kinds
        vectors = take(f"features.{modality}", (count, spec.size), np.float32)
        presence = take(f"presence.{modality}", (count,), np.bool_)
        for row, video in enumerate(videos):
            vector = _vector(video, modality, spec.quantised_range)
            vectors[row] = 0 if vector is None else vector
            presence[row] = modality in video.frames if framed else vector is not None
        arrays |= {f"features.{modality}": vectors, f"presence.{modality}": presence}
        if framed:
            dtype = np.uint8 if kinds[modality] == "uint8" else np.float32
            padded = take(f"frames.{modality}", (count, longest, spec.size), dtype)
            lengths = take(f"lengths.{modality}", (count,), np.int64)
            for row, video in enumerate(videos):
                found = video.frames.get(modality, ())[: video.num_frames]
                lengths[row] = length = len(found)
                if length:
                    padded[row, :length] = found
                padded[row, length:] = 0
            arrays |= {f"frames.{modality}": padded, f"lengths.{modality}": lengths}
    return arrays


def _vector(video: Video, modality: str, quantised_range: tuple[float, float]) -> np.ndarray | None:
    """A stored mean, or that of the frames."""
    if modality in video.features or modality not in video.frames:
        return video.features.get(modality)
    return mean_frame(video.frames[modality], *quantised_range)
