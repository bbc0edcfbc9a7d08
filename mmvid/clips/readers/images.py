"""Pictures, a folder a clip: `[split/][class/]clip/frame.png`, in the order of the numbers in their names."""

import re
from collections.abc import Iterator

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmvid import storage
from mmvid.clips.clip import Clip
from mmvid.clips.pictures import fault, fitted
from mmvid.clips.sources import BadClip, Located, Piece, ReadOptions, Report

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")

_NUMBER = re.compile(r"(\d+)")


def pieces(located: list[Located]) -> list[Piece]:
    """One piece a folder; classes are the folders above, where every clip lies in one."""
    folders: dict[tuple[str, ...], list[Located]] = {}
    for each in located:
        folders.setdefault((each.split, *each.parts[:-1]), []).append(each)
    classed = all(len(folder) == 3 for folder in folders)
    found = []
    for folder, those in folders.items():
        files = tuple(each.file for each in sorted(those, key=lambda each: _natural(each.file.name)))
        name = "/".join(folder) if len(folder) > 1 else storage.name_of(storage.parent_of(files[0].place))
        found.append(Piece(files, name, folder[0], folder[1] if classed else None))
    return found


def read(piece: Piece, options: ReadOptions, report: Report) -> Iterator[Clip]:
    """The clip of a folder; a picture that cannot be read, or is of another size, spoils it."""
    frames: list[np.ndarray] = []
    for file in piece.files:
        try:
            with storage.opened(file) as stream, Image.open(stream) as picture:
                frames.append(fitted(picture, options.clip_resolution))
        except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # it is the disk that fails, not the picture
            report(BadClip(file, "picture", f"not a readable picture: {fault(error)}"))
            return
        if frames[-1].shape != frames[0].shape:
            size, first = (f"{frame.shape[1]} x {frame.shape[0]}" for frame in (frames[-1], frames[0]))
            report(BadClip(file, "size", f"the picture is {size}, the first of its folder {first}"))
            return
    yield Clip(piece.name, piece.name, piece.split, np.stack(frames), label=piece.label)


def _natural(name: str) -> list[str | int]:
    """A name in parts that sort as people count: frame2 before frame10."""
    return [int(part) if part.isdecimal() else part for part in _NUMBER.split(name)]
