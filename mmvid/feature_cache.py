"""What a frozen encoder makes of the windows of a clip store, or of other rows: computed once, kept on disk row by row.

A cache belongs to rows (such as a store's, by its digest), an encoder (by its key) and a kind of feature. The rows of a
store are its windows in its order: all of the first clip, then all of the second. A computation that was killed goes on
where it was.
"""

import dataclasses
import functools
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mmvid.clips.loader import ClipLoader
from mmvid.clips.store import ClipStore
from mmvid.durable import exclusively, replacing

SAVED_EVERY = 64  # batches from one saved state to the next
_VALUES, _UNFINISHED, _STATE = "values.npy", "unfinished.npy", "state.json"

Compute = Callable[[Any], Tensor]


class Rows(Protocol):
    """What features are computed of, in an order that stays.

    Attributes:
        what: what they are, for people, such as a split.
    """

    @property
    def what(self) -> str: ...

    def __len__(self) -> int: ...

    def described(self) -> dict[str, Any]:
        """What tells these rows from others, as JSON values."""
        ...

    def part(self, rows: slice) -> Any:
        """What the encoder is given of some of them."""
        ...


@dataclasses.dataclass(frozen=True)
class Windows:
    """Which windows of a split.

    Attributes:
        store, split: of what.
        frames: frames of a window; 1 for every frame by itself.
        stride: from one frame of a window to the next.
        every: from one window's start to the next one's.
        resolution: height and width of the pictures, see `ClipLoader`; None leaves them.
    """

    store: ClipStore
    split: str
    frames: int = 1
    stride: int = 1
    every: int = 1
    resolution: int | None = None

    @functools.cached_property
    def loader(self) -> ClipLoader:
        return ClipLoader(
            self.store, self.split, 1, frames=self.frames, stride=self.stride, windows="all", resolution=self.resolution
        )

    @functools.cached_property
    def index(self) -> tuple[np.ndarray, np.ndarray]:
        """The clip and the first frame of each window, int64 (N,) each."""
        counts = -(-self.loader.starts // self.every)
        ends = np.cumsum(counts)
        numbers = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
        return np.repeat(self.loader.rows, counts), numbers * self.every

    @property
    def what(self) -> str:
        return self.split

    def __len__(self) -> int:
        return len(self.index[0])

    def part(self, rows: slice) -> Tensor:
        """Some of the windows, float32 (B, 3, T, H, W) in [-0.5, 0.5]."""
        clips, starts = self.index
        return self.loader.batch(clips[rows].tolist(), starts[rows].tolist()).clips

    def described(self) -> dict[str, Any]:
        """What tells these windows from others, as JSON values."""
        return {
            "store": self.store.digest,
            "split": self.split,
            "frames": self.frames,
            "stride": self.stride,
            "every": self.every,
            "resolution": self.resolution,
        }


def features_of(
    rows: Rows,
    compute: Compute,
    *,
    home: Path,
    key: str,
    kind: str,
    dtype: str,
    batch_size: int = 16,
    saved_every: int | None = None,
    progress: bool = True,
) -> np.ndarray:
    """The features of all rows, a read-only map of a file, (N, ...).

    Args:
        rows: of what, such as `Windows`.
        compute: a part of the rows (of windows float32 (B, 3, T, H, W) in [-0.5, 0.5]) to features (B, ...) on any
            device; called without gradients. It must give the same for a row in any company.
        home: the folder of all caches.
        key: digest of the encoder: equal keys, equal features.
        kind: the word for the features, such as `codes`.
        dtype: numpy's name of their type on disk; what it cannot hold is an error.
        batch_size: rows computed at once.
        saved_every: batches from one saved state to the next; `SAVED_EVERY` by default.
        progress: whether to tell how far it is.

    Raises:
        ValueError: if there are no rows, or a value does not fit `dtype`.
    """
    if not len(rows):
        raise ValueError(f"{kind} need something that they are computed of, {rows.what} has nothing")
    folder = cache_folder(rows, home=home, key=key, kind=kind, dtype=dtype)
    waiting = f"{kind} of {rows.what}: another process computes them; waiting for it"
    with exclusively(folder / "lock", waiting):
        if not (folder / _VALUES).exists():
            _compute_into(folder, rows, compute, kind, dtype, batch_size, saved_every or SAVED_EVERY, progress)
    return np.load(folder / _VALUES, mmap_mode="r")


def cache_folder(rows: Rows, *, home: Path, key: str, kind: str, dtype: str) -> Path:
    """Where the features lie; its name is a digest of all that decides them."""
    parts = json.dumps([rows.described(), key, kind, dtype], sort_keys=True)
    return home / f"{kind}-{hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()}"


def is_cached(rows: Rows, *, home: Path, key: str, kind: str, dtype: str) -> bool:
    """Whether `features_of` would find all of them computed."""
    return (cache_folder(rows, home=home, key=key, kind=kind, dtype=dtype) / _VALUES).exists()


def _compute_into(
    folder: Path,
    rows: Rows,
    compute: Compute,
    kind: str,
    dtype: str,
    batch_size: int,
    saved_every: int,
    progress: bool,
) -> None:
    count = len(rows)
    values, done = _unfinished(folder, count)
    bar = tqdm(
        total=count,
        initial=done,
        desc=f"{kind} of {rows.what}",
        disable=not (progress and sys.stderr.isatty()),
    )
    if progress and bar.disable:
        sys.stderr.write(f"{kind} of {rows.what}: {count - done} of {count} to compute\n")
    with bar, torch.inference_mode():
        for number, begin in enumerate(range(done, count, batch_size), start=1):
            part = slice(begin, min(begin + batch_size, count))
            computed = compute(rows.part(part)).cpu().numpy()
            kept = computed.astype(dtype)
            _check(kept, computed, kind)
            if values is None:
                shape = (count, *kept.shape[1:])
                values = np.lib.format.open_memmap(folder / _UNFINISHED, "w+", dtype=dtype, shape=shape)
            values[part] = kept
            bar.update(len(kept))
            if number % saved_every == 0:
                values.flush()
                with replacing(folder / _STATE) as path:
                    path.write_text(json.dumps({"done": begin + len(kept)}))
    values.flush()
    with replacing(folder / "rows.json") as path:
        path.write_text(json.dumps(rows.described(), indent=2) + "\n")
    (folder / _UNFINISHED).replace(folder / _VALUES)
    (folder / _STATE).unlink(missing_ok=True)


def _unfinished(folder: Path, count: int) -> tuple[np.memmap | None, int]:
    """What an earlier process has computed, and how many windows that are."""
    if not (folder / _STATE).exists():
        return None, 0
    done = json.loads((folder / _STATE).read_text())["done"]
    values = np.load(folder / _UNFINISHED, mmap_mode="r+")
    return values, min(done, count)


def _check(kept: np.ndarray, computed: np.ndarray, kind: str) -> None:
    if kept.dtype.kind in "iu":
        fits = np.array_equal(kept, computed)
    else:
        fits = bool(np.isfinite(kept).all())
    if not fits:
        low, high = computed.min(), computed.max()
        raise ValueError(f"{kind} must fit {kept.dtype}, they reach from {low} to {high}")
