"""Clips as pictures for people: strips of frames side by side, animations, PNG, GIF and MP4."""

import io
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw

GAP = 2  # pixels between pictures
LINE = 12  # pixels of a line of text
FRAMES_A_SECOND = 6.0


def strip(clips: Mapping[str, np.ndarray], *, scale: int = 2, most: int = 16) -> np.ndarray:
    """Clips below each other, their frames side by side, uint8 (H, W, 3).

    Args:
        clips: name -> uint8 frames (T, H, W, 3), all of one H and W; the name is written above.
        scale: pixels for each pixel.
        most: frames shown of a clip; of longer ones as many, evenly spaced.
    """
    rows = []
    for name, frames in clips.items():
        shown = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int))
        rows.append(_titled(name, _beside([enlarged(frames[step], scale) for step in shown])))
    width = max(row.shape[1] for row in rows)
    whole = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(whole)


def side_by_side(clips: Mapping[str, np.ndarray], *, scale: int = 2) -> np.ndarray:
    """Clips of equal length beside each other as one animation, uint8 (T, H, W, 3), each under its name."""
    length = max(map(len, clips.values()))
    frames = []
    for step in range(length):
        pictures = [_titled(name, enlarged(clip[min(step, len(clip) - 1)], scale)) for name, clip in clips.items()]
        frames.append(_beside(pictures))
    return np.stack(frames)


def stacked(animations: list[np.ndarray]) -> np.ndarray:
    """Animations (T, H, W, 3) of one size below each other."""
    gap = np.full((animations[0].shape[0], GAP, *animations[0].shape[2:]), 255, np.uint8)
    parts = [part for each in animations for part in (gap, each)][1:]
    return np.concatenate(parts, axis=1)


def enlarged(picture: np.ndarray, scale: int) -> np.ndarray:
    """A picture (H, W, 3) with each pixel `scale` times as wide and high."""
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def write_png(path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(path, format="PNG")


def gif(frames: np.ndarray, rate: float = FRAMES_A_SECOND) -> bytes:
    """An animation (T, H, W, 3) as a GIF that repeats for ever; its last frame stays for a while."""
    pictures = [Image.fromarray(frame).quantize(256) for frame in frames]
    step = round(1000 / rate)
    content = io.BytesIO()
    pictures[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[step] * (len(pictures) - 1) + [4 * step],
        loop=0,
    )
    return content.getvalue()


def write_mp4(path: Path, frames: np.ndarray, rate: float = FRAMES_A_SECOND) -> None:
    """An animation (T, H, W, 3) as H.264; odd sides lose a pixel, which the codec cannot code."""
    height, width = (side - side % 2 for side in frames.shape[1:3])
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(rate).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            whole = np.ascontiguousarray(frame[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(whole, format="rgb24")))
        container.mux(stream.encode())


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis=1)


def _titled(name: str, picture: np.ndarray) -> np.ndarray:
    """A picture with a line of text above it."""
    line = Image.new("RGB", (picture.shape[1], LINE), "white")
    ImageDraw.Draw(line).text((1, 0), name, fill="black")
    return np.concatenate([np.asarray(line), picture])
