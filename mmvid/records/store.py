"""An ingested data set: a folder of memory-mapped Arrow files, and a manifest.

The files are plain Arrow IPC files, which pandas, polars and Spark read too; `shards` says which columns they have.
A store may hold further features of another store's videos and nothing else, see `extension`: it reads as one with all
columns of both.
"""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmvid.manifests import check_files, verify_files
from mmvid.records.batches import Shapes
from mmvid.records.manifest import Counts, FileEntry, Manifest
from mmvid.records.schema import Schema
from mmvid.records.splits import SPLITS

MADE = "demo data (made)"


class Store:
    """A data set that is open for reading. Files are mapped when their split is first read.

    Attributes:
        folder: where it lies.
        contents: its manifest, checked; `manifest` is the same as JSON values.
    """

    def __init__(self, folder: Path, contents: Manifest, extended: "Store | None" = None):
        self.folder, self.contents, self._extended = folder, contents, extended
        self._batches: dict[str, list[pa.RecordBatch]] = {}

    @classmethod
    def open(cls, folder: str | os.PathLike) -> "Store":
        """Opens a store and checks that its files are there, by their sizes.

        Raises:
            ValueError: if the folder is no store, or a file is missing or of another size; the file is named. Also if
                it adds features to a store that is not there or not the same any more.
        """
        folder = Path(folder)
        contents = Manifest.read(folder)
        check_files(folder, contents.files)
        if contents.extends is None:
            return cls(folder, contents)
        extended = Store.open((folder / contents.extends.folder).resolve())
        if extended.digest != contents.extends.digest:
            raise ValueError(
                f"{folder} has features of the videos of store {contents.extends.digest}; "
                f"{extended.folder} is {extended.digest} now"
            )
        return cls(folder, contents, extended)

    def __reduce__(self):
        return Store.open, (self.folder,)

    @property
    def base(self) -> "Store":
        """The store that holds ids, labels and texts: itself, unless it only adds features to another."""
        return self if self._extended is None else self._extended.base

    @functools.cached_property
    def manifest(self) -> dict[str, Any]:
        return self.contents.plain()

    @property
    def digest(self) -> str:
        """Equal for stores with equal schema, label names and bytes."""
        return self.contents.digest

    @property
    def schema(self) -> Schema:
        return self.contents.records

    @functools.cached_property
    def shapes(self) -> Shapes:
        """The sizes of the modalities that at least one video has."""
        contents = self.contents
        return Shapes(
            classes=contents.records.classes,
            features=contents.features,
            frames=contents.frames,
            float_frames=tuple(modality for modality in contents.frames if self._has_float_frames(modality)),
        )

    def _has_float_frames(self, modality: str) -> bool:
        name = f"frames.{modality}"
        schemas = (batch.schema for split in self.splits for batch in self.batches(split))
        found = next((schema.field(name).type for schema in schemas if name in schema.names), None)
        return found is not None and pa.types.is_floating(found.value_type.value_type)

    def streamed(self, split: str) -> list[FileEntry]:
        """The files of a split whose videos' features are in TFRecord files, to be streamed from there; mostly none."""
        return [file for file in self.base.contents.files if file.split == split and file.shard is not None]

    @property
    def name(self) -> str:
        return self.schema.name

    @property
    def title(self) -> str:
        """What results on it are headed with: made data must never look like real data."""
        return MADE if self.schema.name == "demo" else self.schema.name

    @property
    def names(self) -> list[str]:
        """The name of each label; not unique."""
        return self.contents.names

    @property
    def splits(self) -> list[str]:
        """The splits that have videos."""
        return [split for split in SPLITS if self.count(split)]

    def profile(self) -> dict[str, Any]:
        """What the data set is, in few words, as JSON values."""
        return {
            "videos": {split: self.count(split) for split in self.splits},
            "with text": {split: self.counts(split).text for split in self.splits},
            "classes": self.shapes.classes,
            "features": self.shapes.features,
            "frames": self.shapes.frames,
            "skipped records": self.contents.skipped.count,
        } | self._streamed_profile()

    def _streamed_profile(self) -> dict[str, Any]:
        shards = [file.shard for split in self.splits for file in self.streamed(split)]
        return {"streamed shards": len(shards), "streamed from": self.base.contents.source.folder} if shards else {}

    def counts(self, split: str) -> Counts:
        """What there is of a split; zeros where it has no videos."""
        _check_split(split)
        return self.contents.splits.get(split, Counts(labels=[0] * self.schema.classes))

    def count(self, split: str) -> int:
        """The videos of a split."""
        return self.counts(split).videos

    def label_counts(self, split: str) -> np.ndarray:
        """How many videos of a split have each label, int64 ``(C,)``."""
        return np.array(self.counts(split).labels, np.int64)

    def batches(self, split: str) -> list[pa.RecordBatch]:
        """The rows of a split as record batches over the memory-mapped files, in order.

        Raises:
            ValueError: if a file is not an Arrow file.
        """
        _check_split(split)
        if split not in self._batches:
            own = [
                batch for file in self.contents.files if file.split == split for batch in _read(self.folder / file.name)
            ]
            self._batches[split] = own if self._extended is None else list(_beside(self._extended.batches(split), own))
        return self._batches[split]

    def table(self, split: str) -> pa.Table:
        """The rows of a split as one table; nothing is copied.

        Raises:
            ValueError: if the split has no videos.
        """
        batches = self.batches(split)
        if not batches:
            raise ValueError(f"the data set has no videos in {split}; there are {', '.join(self.splits)}")
        return pa.Table.from_batches(batches)

    def labels_of(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        """The labels of all videos of a split, int32 ``(L,)``, and where each video's begin, int64 ``(N + 1,)``.

        The labels of video i are `labels[offsets[i] : offsets[i + 1]]`: none for a video that is not labelled.
        """
        columns = [batch.column("labels") for batch in self.batches(split)]
        lengths = [np.diff(column.offsets.to_numpy()) for column in columns]
        values = [column.flatten().to_numpy() for column in columns]
        offsets = np.concatenate([[0], *lengths]).cumsum(dtype=np.int64)
        return np.concatenate([np.zeros(0, np.int32), *values]), offsets

    def has_text(self, split: str) -> np.ndarray:
        """Which videos of a split have a title or keywords, bool ``(N,)``."""
        found = [np.zeros(0, bool)]
        for batch in self.batches(split):
            title, keywords = (
                batch.column(name).is_valid().to_numpy(zero_copy_only=False) for name in ("title", "keywords")
            )
            found.append(title | keywords)
        return np.concatenate(found)

    def text_groups(self, split: str) -> dict[str, np.ndarray]:
        """`with_text` and `without_text`, bool ``(N,)``, of a split of which some videos have text; else nothing."""
        with_text = self.has_text(split)
        return {"with_text": with_text, "without_text": ~with_text} if with_text.any() else {}

    def has_feature(self, split: str, modality: str) -> np.ndarray:
        """Which videos of a split have a video-level feature of a modality, bool ``(N,)``."""
        found = [np.zeros(0, bool)]
        for batch in self.batches(split):
            found.append(batch.column(f"features.{modality}").is_valid().to_numpy(zero_copy_only=False))
        return np.concatenate(found)

    def verify(self) -> None:
        """Reads all files, those of a store that it extends too, and holds them against their digests.

        Raises:
            ValueError: names the first file whose bytes are not those that were written.
        """
        verify_files(self.folder, self.contents.files)
        if self._extended is not None:
            self._extended.verify()


def _read(path: Path) -> list[pa.RecordBatch]:
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        return [reader.get_batch(number) for number in range(reader.num_record_batches)]
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: not an Arrow file: {error}") from None


def _beside(base: list[pa.RecordBatch], more: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Each batch of `more` with the columns of the same rows of `base` before its own; none spans two of `base`."""
    rest = iter(base)
    whole, taken = next(rest, None), 0
    for batch in more:
        while taken == whole.num_rows:
            whole, taken = next(rest), 0
        part = whole.slice(taken, batch.num_rows)
        taken += batch.num_rows
        fields = [*part.schema, *batch.schema]
        yield pa.RecordBatch.from_arrays([*part.columns, *batch.columns], schema=pa.schema(fields))


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split must be among {', '.join(SPLITS)}, got {split!r}")
