"""VideoGPT's HDF5 files, in both published layouts.

one file     {train,test}_data uint8 (F, H, W, 3), all clips one after another; {train,test}_idx (N,), where each
             begins; {train,test}_actions (F, A), where there are some
two files    frames uint8 (N, 3, T, H, W); actions (N, T, A); the split is in the file's name
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from mmvid.clips.clip import Clip
from mmvid.clips.sources import BadClip, Located, Piece, ReadOptions, Report, on_disk
from mmvid.storage import is_remote

ENDINGS = (".hdf5", ".h5")

_AT_A_TIME = 256
_SPLITS = {"train": "train", "test": "validate"}


def pieces(located: list[Located]) -> list[Piece]:
    """One piece for each 256 clips of a split.

    Raises:
        ValueError: if a file is no HDF5 file, or has neither layout.
    """
    found = []
    for each in located:
        with on_disk(each.file) as path, _opened(path, each.file.place) as file:
            for layout, split, clips in _parts(file, each):
                name = f"{split}/{each.file.name.rpartition('.')[0]}"
                step = clips if is_remote(each.file) else _AT_A_TIME  # one on S3 is copied for each piece
                for first in range(0, clips, max(step, 1)):
                    counted = min(step, clips - first)
                    found.append(Piece((each.file,), name, split, first=first, count=counted, layout=layout))
    return found


def read(piece: Piece, options: ReadOptions, report: Report) -> Iterator[Clip]:
    """The clips of a range."""
    with on_disk(piece.file) as path, _opened(path, piece.file.place) as file:
        for number in range(piece.first, piece.first + piece.count):
            try:
                frames, actions = (_whole if piece.layout == "frames" else _cut)(file, piece.layout, number)
            except (OSError, ValueError) as error:
                report(BadClip(piece.file, "hdf5", f"clip {number} of {piece.layout}: {error}"))
                continue
            id = f"{piece.name}#{number}"
            yield Clip(id=id, trajectory=id, split=piece.split, frames=frames, actions=actions)


def _opened(path: Path, place: str) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise BadClip(place, "hdf5", f"not a readable HDF5 file: {error}") from None


def _parts(file: h5py.File, each: Located) -> list[tuple[str, str, int]]:
    """Layout, split and number of clips of each part of a file."""
    if "frames" in file:
        clips, _, steps, *_ = _shape(file, each, "frames", ("N", 3, "T", "H", "W"))
        if "actions" in file:
            _shape(file, each, "actions", (clips, steps, "A"))
        return [("frames", each.split, clips)]
    found = [split for split in _SPLITS if f"{split}_data" in file]
    for split in found:
        if f"{split}_idx" not in file:
            raise BadClip(each.file, "hdf5", f"it has {split}_data and no {split}_idx, where its clips begin")
    if not found:
        names = ", ".join(sorted(file)[:6]) or "nothing"
        raise BadClip(each.file, "hdf5", f"it must hold `frames`, or `train_data` and `train_idx`, it holds {names}")
    parts = []
    for split in found:
        frames, *_ = _shape(file, each, f"{split}_data", ("F", "H", "W", 3))
        if f"{split}_actions" in file:
            _shape(file, each, f"{split}_actions", (frames, "A"))
        parts.append((split, _SPLITS[split], *_shape(file, each, f"{split}_idx", ("N",))))
    return parts


def _shape(file: h5py.File, each: Located, name: str, wanted: tuple[str | int, ...]) -> tuple[int, ...]:
    """The shape of an array of numbers, of which the sizes that are numbers are settled."""
    found = file[name]
    shape = getattr(found, "shape", None)  # a group has none, an empty dataset has None
    fits = shape is not None and found.dtype.kind in "fiu" and len(shape) == len(wanted)
    if not fits or any(isinstance(size, int) and size != got for size, got in zip(wanted, shape, strict=True)):
        sizes = f"({', '.join(map(str, wanted))})"
        got = "a group" if isinstance(found, h5py.Group) else f"{found.dtype} {shape}"
        raise BadClip(each.file, "hdf5", f"{name} must be numbers {sizes}, got {got}")
    return shape


def _cut(file: h5py.File, split: str, number: int) -> tuple[np.ndarray, np.ndarray | None]:
    """A clip of the layout of one file."""
    data, begins = file[f"{split}_data"], file[f"{split}_idx"]
    first = int(begins[number])
    last = int(begins[number + 1]) if number + 1 < len(begins) else len(data)
    if not 0 <= first < last <= len(data):
        raise ValueError(f"{split}_idx must rise and stay below {len(data)}, it goes from {first} to {last}")
    actions = file.get(f"{split}_actions")
    return data[first:last], None if actions is None else actions[first:last].astype(np.float32)


def _whole(file: h5py.File, layout: str, number: int) -> tuple[np.ndarray, np.ndarray | None]:
    """A clip of the layout of two files."""
    actions = file.get("actions")
    frames = np.ascontiguousarray(file[layout][number].transpose(1, 2, 3, 0))
    return frames, None if actions is None else actions[number].astype(np.float32)
