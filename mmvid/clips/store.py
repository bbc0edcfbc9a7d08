"""A store of clips that is open for reading: frames are memory-mapped, a page is read when it is looked at."""

import functools
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mmvid.clips.manifest import SPLITS, Column, Layout, Manifest
from mmvid.clips.writing import TABLE, columns_of, unpack_masks
from mmvid.manifests import check_files, verify_files

MADE = "demo clips (made)"


class Entry(NamedTuple):
    """One clip of a split: see `Clip`; `frames` is how many it has."""

    id: str
    trajectory: str
    camera: str
    label: str | None
    shard: int
    first: int
    frames: int


class ClipStore:
    """A data set of clips.

    Attributes:
        folder: where it lies.
        contents: its manifest, checked; `manifest` is the same as JSON values.
    """

    def __init__(self, folder: Path, contents: Manifest):
        self.folder, self.contents = folder, contents
        self._mapped: dict[tuple[int, str], np.memmap] = {}

    @classmethod
    def open(cls, folder: str | os.PathLike) -> "ClipStore":
        """Opens a store and checks that its files are there, by their sizes.

        Raises:
            ValueError: if the folder is no store, or a file is missing or of another size; the file is named.
        """
        folder = Path(folder)
        contents = Manifest.read(folder)
        check_files(folder, contents.files)
        return cls(folder, contents)

    def __reduce__(self):
        return ClipStore.open, (self.folder,)

    @functools.cached_property
    def manifest(self) -> dict[str, Any]:
        return self.contents.plain()

    @property
    def digest(self) -> str:
        """Equal for stores with equal layout, class names and bytes."""
        return self.contents.digest

    @property
    def layout(self) -> Layout:
        return self.contents.layout

    @property
    def height(self) -> int:
        return self.layout.height

    @property
    def width(self) -> int:
        return self.layout.width

    @property
    def categories(self) -> tuple[str, ...]:
        """What the masks show, K names; none where there are no masks."""
        return self.layout.categories

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the clips' classes; none where they have none."""
        return self.contents.classes

    @property
    def name(self) -> str:
        return "demo" if self.contents.source.made else self.contents.source.kind

    @property
    def title(self) -> str:
        """What results on it are headed with: made data must never look like real data."""
        return MADE if self.contents.source.made else self.contents.source.kind

    @property
    def splits(self) -> list[str]:
        """The splits that have clips."""
        return [split for split in SPLITS if self.count(split)]

    def profile(self) -> dict[str, Any]:
        """What the data set is, in few words, as JSON values."""
        layout = self.layout
        return {
            "clips": {split: self.count(split) for split in self.splits},
            "trajectories": {split: self.contents.splits[split].trajectories for split in self.splits},
            "frames": {split: self.contents.splits[split].frames for split in self.splits},
            "pixels": [layout.height, layout.width],
            "actions": layout.actions,
            "masks": list(layout.categories),
            "classes": len(self.classes),
            "skipped clips": self.contents.skipped.count,
        }

    def count(self, split: str) -> int:
        """The clips of a split; each camera of a trajectory is one."""
        _check_split(split)
        counts = self.contents.splits.get(split)
        return 0 if counts is None else counts.clips

    def entries(self, split: str) -> list[Entry]:
        """The clips of a split, in order."""
        _check_split(split)
        return self._entries[split]

    def frames(self, split: str, row: int) -> np.ndarray:
        """The frames of a clip, uint8 (T, H, W, 3), a read-only view of the file."""
        return self._view(split, row, "frames")

    def masks(self, split: str, row: int, frames: slice | list[int] = slice(None)) -> np.ndarray | None:
        """The masks of a clip's frames (or of some of them), bool (T, K, H, W); None where the store has none."""
        packed = self._view(split, row, "masks")
        return None if packed is None else unpack_masks(packed[frames], self.height, self.width)

    def actions(self, split: str, row: int) -> np.ndarray | None:
        """The actions of a clip, float32 (T, A); None where the store has none."""
        return self._view(split, row, "actions")

    def positions(self, split: str, row: int) -> np.ndarray | None:
        """The positions of the robot's hand, float32 (T, P); None where the store has none."""
        return self._view(split, row, "positions")

    def verify(self) -> None:
        """Reads all files and holds them against their digests.

        Raises:
            ValueError: names the first file whose bytes are not those that were written.
        """
        verify_files(self.folder, self.contents.files)

    @functools.cached_property
    def _entries(self) -> dict[str, list[Entry]]:
        try:
            with pa.memory_map(str(self.folder / TABLE)) as file:
                rows = pa.ipc.open_file(file).read_all().to_pylist()
        except pa.ArrowInvalid as error:
            raise ValueError(f"{self.folder / TABLE}: not an Arrow file: {error}") from None
        found: dict[str, list[Entry]] = {split: [] for split in SPLITS}
        for row in rows:
            found[row.pop("split")].append(Entry(**row))
        return found

    def _view(self, split: str, row: int, column: Column) -> np.ndarray | None:
        columns = columns_of(self.layout)
        if column not in columns:
            return None
        entry = self.entries(split)[row]
        key = entry.shard, column
        if key not in self._mapped:
            kind, shape = columns[column]
            path = self.folder / f"{entry.shard:05d}.{column}"
            self._mapped[key] = np.memmap(path, kind, "r", shape=(self.contents.shards[entry.shard], *shape))
        return self._mapped[key][entry.first : entry.first + entry.frames]


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split must be among {', '.join(SPLITS)}, got {split!r}")
