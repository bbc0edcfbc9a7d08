"""Clips in .npz files: iVideoGPT's episodes (`image`, `aux1_image`, `action`), or several clips, one an array.

Arrays are plain numbers: a file that holds Python objects, which could run code, is refused.
"""

import io
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np

from mmvid import storage
from mmvid.clips.clip import Clip
from mmvid.clips.sources import BadClip, Located, Piece, ReadOptions, Report

ENDINGS = (".npz",)

_CAMERAS = {"main": "image", "aux1": "aux1_image"}
_POSITIONS = "endeffector_pos"


def pieces(located: list[Located]) -> list[Piece]:
    """One piece a file."""
    return [Piece((each.file,), "/".join((each.split, *each.parts))[:-4], each.split) for each in located]


def read(piece: Piece, options: ReadOptions, report: Report) -> Iterator[Clip]:
    """The episode of a file, one clip for each camera asked for; or its clips, one for each array."""
    try:
        with storage.opened(piece.file) as stream, np.load(io.BytesIO(stream.read()), allow_pickle=False) as arrays:
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it is one array, not a file of arrays")
            episode = any(name in arrays.files for name in _CAMERAS.values())
            clips = list(_episode(arrays, piece, options)) if episode else None
            if clips is None:
                yield from _many(arrays, piece, report)
                return
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, MemoryError) as error:
        if isinstance(error, BadClip):
            raise
        report(BadClip(piece.file, "npz", f"not a readable .npz of clips: {error}"))
        return
    yield from clips


def _episode(arrays: np.lib.npyio.NpzFile, piece: Piece, options: ReadOptions) -> Iterator[Clip]:
    there = [camera for camera, name in _CAMERAS.items() if name in arrays.files]
    wanted = list(_CAMERAS) if options.camera == "both" else [options.camera]
    if options.camera == "auto":
        wanted = ["aux1"] if "aux1" in there else there
    for camera in wanted:
        if camera not in there:
            raise ValueError(f"it has no camera {camera}, only {', '.join(there)}")
        frames = _checked(arrays[_CAMERAS[camera]], _CAMERAS[camera])
        yield Clip(
            id=f"{piece.name}/{camera}" if options.camera == "both" else piece.name,
            trajectory=piece.name,
            split=piece.split,
            frames=frames,
            camera=camera,
            actions=_numbers(arrays, "action", len(frames)),
            positions=_numbers(arrays, _POSITIONS, len(frames)),
        )


def _many(arrays: np.lib.npyio.NpzFile, piece: Piece, report: Report) -> Iterator[Clip]:
    for name in arrays.files:
        try:
            frames = _checked(arrays[name], name)
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
            report(BadClip(piece.file, "npz", f"array {name!r}: {error}"))
            continue
        yield Clip(id=f"{piece.name}/{name}", trajectory=f"{piece.name}/{name}", split=piece.split, frames=frames)


def _checked(frames: np.ndarray, name: str) -> np.ndarray:
    if not isinstance(frames, np.ndarray):
        raise ValueError(f"{name} must be an array, its bytes are none")
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise ValueError(f"{name} must be uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}")
    return frames


def _numbers(arrays: np.lib.npyio.NpzFile, name: str, steps: int) -> np.ndarray | None:
    if name not in arrays.files:
        return None
    found = np.asarray(arrays[name])
    if found.ndim != 2 or len(found) != steps or found.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be numbers ({steps}, D), got {found.dtype} {found.shape}")
    return found.astype(np.float32)
