"""Masks of whole folders of pictures and of videos, one after another: nothing is kept in memory but a few frames.

Of a picture `<name>_mask.png` (0 and 255) and `<name>_overlay.png` are written, of a video `<name>_mask.mkv` (FFV1,
without loss) and `<name>_overlay.mp4` (H.264) with the times of the video's own frames. Files are there whole or not
at all.
"""

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from PIL import Image

from mmvid.animation import write_png
from mmvid.clips.pictures import as_seen
from mmvid.clips.readers.video import ENDINGS as VIDEOS
from mmvid.durable import replacing
from mmvid.segmentation.package import SegmenterPackage
from mmvid.segmentation.pictures import overlay

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
AT_ONCE = 16  # pictures segmented together, or fewer large ones
PIXELS = 16_000_000  # of the pictures segmented together: some hundred megabytes with their probabilities
TICKS = 1000  # a second, for frames without times of their own


class Segmented(NamedTuple):
    """A picture or frame with its mask.

    Attributes:
        name: the picture's file, or the number of the frame.
        confidence: the mean probability of the mask's pixels; 0 where it has none.
        share: the mask's share of all pixels.
        overlay: the picture with its mask tinted, uint8 (H, W, 3).
    """

    name: str
    confidence: float
    share: float
    overlay: np.ndarray


class Footage(NamedTuple):
    """What is to be segmented: pictures of a folder, or one video."""

    pictures: list[Path]
    video: Path | None

    @property
    def count(self) -> int | None:
        """Pictures or frames, where that is known before they are read."""
        if self.video is None:
            return len(self.pictures)
        with _opened(self.video) as container:
            return container.streams.video[0].frames or None


def find_footage(place: str) -> Footage:
    """The pictures of a folder, in the order of their names, a single picture, or a video.

    Raises:
        ValueError: if there is no such file or folder, or it is or has neither pictures nor a video.
    """
    path = Path(place)
    if path.is_dir():
        found = sorted(each for each in path.iterdir() if each.suffix.lower() in PICTURES and each.is_file())
        if not found:
            raise ValueError(f"input must be a folder with pictures ({', '.join(PICTURES)}), {path} has none")
        return Footage(found, None)
    if not path.is_file():
        raise ValueError(f"input must be a folder of pictures, a picture or a video, there is no {path}")
    if path.suffix.lower() in VIDEOS:
        return Footage([], path)
    if path.suffix.lower() not in PICTURES:
        raise ValueError(
            f"input must be a picture ({', '.join(PICTURES)}) or a video ({', '.join(VIDEOS)}), got {path}"
        )
    return Footage([path], None)


def segment(
    package: SegmenterPackage,
    footage: Footage,
    output: Path,
    threshold: float,
    unreadable: Callable[[str], None] | None = None,
) -> Iterator[Segmented]:
    """Segments and writes everything; yields one after another.

    Args:
        package: the segmenter.
        footage: what is segmented.
        output: a folder, made where it is not there.
        threshold: probability from which on a pixel is in the mask.
        unreadable: hears of pictures that cannot be read, one sentence each, and they are left out; None raises.

    Raises:
        ValueError: if a picture or the video cannot be read; the file is named.
    """
    output.mkdir(parents=True, exist_ok=True)
    if footage.video is not None:
        yield from _segment_video(package, footage.video, output, threshold)
        return
    stems = Counter(path.stem for path in footage.pictures)
    opened = ((path, _picture(path, unreadable)) for path in footage.pictures)
    readable = ((path, picture) for path, picture in opened if picture is not None)
    for some in _batched(readable, lambda item: item[1].width * item[1].height):
        for (path, picture), scores in zip(some, package.segment([each for _, each in some]), strict=True):
            name = path.stem if stems[path.stem] == 1 else path.name  # of a.png and a.jpg neither may be lost
            mask, found = _found(path.name, picture, scores, threshold)
            for what, content in (("mask", mask), ("overlay", found.overlay)):
                with replacing(output / f"{name}_{what}.png") as temporary:
                    write_png(temporary, content)
            yield found


def _segment_video(package: SegmenterPackage, path: Path, output: Path, threshold: float) -> Iterator[Segmented]:
    with (
        replacing(output / f"{path.stem}_mask.mkv") as mask_path,
        replacing(output / f"{path.stem}_overlay.mp4") as overlay_path,
        _opened(path) as container,
        _Film(mask_path, "matroska", "ffv1", "gray") as masks,
        _Film(overlay_path, "mp4", "libx264", "yuv420p") as overlays,
    ):
        number, size = 0, None
        for some in _batched(_frames(path, container), lambda frame: frame.width * frame.height):
            size = size or (some[0].width, some[0].height)
            for frame in some:
                if (frame.width, frame.height) != size:
                    sizes = f"from {size[0]} x {size[1]} to {frame.width} x {frame.height}"
                    raise ValueError(f"{path}: the video's frames must be of one size, they change {sizes}")
            pictures = [frame.to_image() for frame in some]
            for frame, picture, scores in zip(some, pictures, package.segment(pictures), strict=True):
                mask, found = _found(str(number), picture, scores, threshold)
                masks.add(mask, "gray", frame)
                overlays.add(found.overlay, "rgb24", frame)
                number += 1
                yield found
        if not number:
            raise ValueError(f"{path}: the video has no frames")


class _Film:
    """A video that is written frame by frame, with the times of other frames."""

    def __init__(self, path: Path, kind: str, codec: str, pixels: str):
        self._path, self._kind, self._codec, self._pixels = path, kind, codec, pixels
        self._stream: av.VideoStream | None = None
        self._count, self._last = 0, -1

    def __enter__(self) -> "_Film":
        self._container = av.open(str(self._path), "w", format=self._kind)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(av.FFmpegError) if self._stream is None else contextlib.nullcontext():
            if self._stream is not None:
                self._container.mux(self._stream.encode())
            self._container.close()

    def add(self, picture: np.ndarray, pixels: str, like: av.VideoFrame) -> None:
        """Adds a picture at the time of the frame `like`; H.264 halves colours, so odd sides get one pixel more."""
        if self._codec == "libx264":
            picture = np.pad(picture, ((0, picture.shape[0] % 2), (0, picture.shape[1] % 2), (0, 0)), mode="edge")
        if self._stream is None:
            self._stream = self._container.add_stream(self._codec, rate=TICKS)
            self._stream.height, self._stream.width = picture.shape[:2]
            self._stream.pix_fmt = self._pixels
            self._stream.codec_context.time_base = Fraction(1, TICKS)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=pixels)
        time = self._count / 25 if like.time is None else like.time
        self._last = max(round(time * TICKS), self._last + 1)  # no file takes a frame that is not after the one before
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._count += 1
        self._container.mux(self._stream.encode(frame))


def _found(name: str, picture: Image.Image, scores: np.ndarray, threshold: float) -> tuple[np.ndarray, Segmented]:
    """The mask as uint8 of 0 and 255, and what is told of it."""
    mask = scores >= threshold
    confidence = float(scores[mask].mean()) if mask.any() else 0.0
    shown = overlay(np.asarray(picture.convert("RGB")), mask)
    return mask * np.uint8(255), Segmented(name, confidence, float(mask.mean()), shown)


def _picture(path: Path, unreadable: Callable[[str], None] | None) -> Image.Image | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                return as_seen(opened)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        sentence = f"{path} must be a picture: {str(error) or type(error).__name__}"
        if unreadable is None:
            raise ValueError(sentence) from error
        unreadable(sentence)
        return None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path}: the video has no pictures")
            yield container
    except av.FFmpegError as error:
        raise ValueError(f"{path}: not a readable video: {error.strerror}") from error


def _frames(path: Path, container: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    try:
        yield from container.decode(container.streams.video[0])
    except av.FFmpegError as error:
        raise ValueError(f"{path}: not a readable video: {error.strerror}") from error


def _batched(items: Iterator, pixels: Callable[[Any], int]) -> Iterator[list]:
    """Items in order, as many together as `AT_ONCE` and `PIXELS` allow, one at least."""
    some, total = [], 0
    for item in items:
        some.append(item)
        total += pixels(item)
        if len(some) == AT_ONCE or total >= PIXELS:
            yield some
            some, total = [], 0
    if some:
        yield some
