"""Batches of a split of a store, in order or shuffled anew each epoch, on one process or several."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from mmvid.permutation import Permutation
from mmvid.ranks import batch_ends, check_batching, equal_length
from mmvid.records.batches import Batch
from mmvid.records.buffers import Buffers
from mmvid.records.columns import Frames, LazyStrings, Ragged, Strings, Validity, Vectors
from mmvid.records.quantised import dequantise
from mmvid.records.store import Store
from mmvid.records.words import NO_WORDS, Words

_TEXTS = ("title", "keywords")
Relabel = Callable[[Batch, np.ndarray], None]  # changes the labels of a batch of these rows of its split
_PLANNED = 16  # batches whose row numbers are drawn in one go: many calls on short arrays would take longer


class Loader:
    """The batches of one split; iterating again gives the same epoch until `set_epoch`.

    Videos are read from the memory-mapped files as they are needed: memory beyond the page cache is a few batches,
    whatever the size of the store.

    With several ranks, rank r takes every `world_size`-th video of the order from the r-th on, so that the ranks'
    i-th batches together are the i-th `world_size * batch_size` videos. All ranks have the same number of batches,
    no video comes twice and none is left out: the last batches may be smaller, by different numbers of videos.
    """

    def __init__(
        self,
        store: Store,
        split: str,
        batch_size: int,
        *,
        modalities: Iterable[str] | None = None,
        frames: bool = False,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_labels: bool = False,
        words: Words = NO_WORDS,
        only_with_words: bool = False,
        among: np.ndarray | None = None,
        relabel: Relabel | None = None,
    ):
        """
        Args:
            store: the data set.
            split: the split; one without videos gives no batches.
            batch_size: videos in a batch; the last one may be smaller.
            modalities: what to read, in order; None reads all.
            frames: whether to read frames beside video-level features. Presence is then that of the frames.
            shuffle: whether the order is drawn anew each epoch. It depends on the seed, the epoch and the number of
                videos, and on nothing else.
            seed: of the orders.
            rank, world_size: this process, and how many there are.
            drop_labels: leaves labels out, and the weights of segments, even where there are some.
            words: which words of titles and keywords to read.
            only_with_words: leaves out the videos that have none of these words.
            among: which videos of the split may be read, bool (N,); None for all.
            relabel: makes other targets of the labels, such as a teacher's scores.

        Raises:
            ValueError: if a modality is not in the store, frames are asked for and there are none, only some videos
                of the split have labels, or so few videos cannot be given to so many ranks.
        """
        check_batching(batch_size, rank, world_size)
        self.store, self.split, self.batch_size = store, split, batch_size
        self.shuffle, self.seed, self.epoch = shuffle, seed, 0
        self.rank, self.world_size = rank, world_size
        words.check(store)
        self.words, self.relabel = words, relabel
        # Row numbers, where not all rows are read.
        allowed = words.known(split) if only_with_words else None
        if among is not None:
            allowed = among if allowed is None else allowed & among
        self.chosen = None if allowed is None else np.flatnonzero(allowed)
        self.count = store.count(split) if self.chosen is None else len(self.chosen)
        self.length = equal_length(self.count, batch_size, world_size, "videos")
        self.sizes = sizes_of(store, modalities, frames)
        if store.streamed(split) and self.sizes.keys() & store.schema.features.keys():
            raise ValueError(f"{split} of {store.folder} has its features in TFRecords, which must be streamed")
        self.labelled = not drop_labels and is_labelled(store, split)
        self.frames = frames
        self._rows: Rows | None = None

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next iteration is: the order of a shuffled loader follows from it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        if self.count == 0:
            return
        for rows in self._numbers():
            yield self.read(rows if self.chosen is None else self.chosen[rows])

    def read(self, rows: np.ndarray) -> Batch:
        """The videos of these rows of the split, int64 ``(B,)``, whatever the order of the epoch."""
        if self._rows is None:
            self._rows = Rows(self.store, self.split, self.sizes, self.frames)
        batch = self._rows.batch(rows, self.labelled)
        self.words.add(batch, self.split, rows)
        if self.relabel is not None:
            self.relabel(batch, rows)
        return batch

    def _numbers(self) -> Iterator[np.ndarray]:
        """The row numbers of each batch of this rank."""
        order = Permutation(self.count, self.seed, self.epoch) if self.shuffle else None
        own = len(range(self.rank, self.count, self.world_size))
        ends = batch_ends(own, self.length, self.batch_size)
        for first in range(0, self.length, _PLANNED):
            begin = ends[first - 1] if first else 0
            planned = ends[first : first + _PLANNED]
            rows = self.rank + self.world_size * np.arange(begin, planned[-1])
            rows = rows if order is None else order(rows)
            yield from np.split(rows, [end - begin for end in planned[:-1]])


class Rows:
    """The rows of a split by number."""

    def __init__(self, store: Store, split: str, sizes: dict[str, int], frames: bool):
        batches = store.batches(split)
        self.first = np.cumsum([0, *(batch.num_rows for batch in batches)])
        self.label_buffers = Buffers(store.shapes.classes, np.bool_)
        self.weight_buffers = Buffers(store.shapes.classes, np.float32)

        def column(name: str) -> list:
            return [batch.column(name) for batch in batches]

        self.ids, self.labels = Strings(column("id")), Ragged(column("labels"))
        self.rated = None if store.schema.segments is None else Ragged(column("rated"))
        self.features = {m: Vectors(column(f"features.{m}")) for m in sizes if m in store.shapes.features}
        self.frames = {m: Frames(column(f"frames.{m}")) for m in sizes if frames and m in store.shapes.frames}
        self.ranges = {m: store.schema.features[m].quantised_range for m in self.frames}
        self.num_frames = [batch.column("num_frames").to_numpy() for batch in batches] if frames else None
        self.texts = {name: Validity(column(name)) for name in _TEXTS if store.contents.text is not None}

    def batch(self, rows: np.ndarray, labelled: bool) -> Batch:
        chunk = np.searchsorted(self.first, rows, side="right") - 1
        row = rows - self.first[chunk]
        presence = {name: valid.gather(chunk, row) for name, valid in self.texts.items()}
        modalities = {**self.features, **self.frames}  # of frames, where both are read
        presence |= {modality: column.valid.gather(chunk, row) for modality, column in modalities.items()}
        batch = Batch(
            ids=LazyStrings(self.ids, chunk, row),
            features={m: column.gather(chunk, row).float() for m, column in self.features.items()},
            num_frames=torch.ones(len(rows), dtype=torch.int64),
            presence={name: torch.from_numpy(valid) for name, valid in presence.items()},
            labels=self._dense(self.labels, chunk, row, self.label_buffers) if labelled else None,
        )
        if labelled and self.rated is not None:
            batch.weights = self._dense(self.rated, chunk, row, self.weight_buffers)
        if self.num_frames is not None:
            self._add_frames(batch, chunk.tolist(), row.tolist())
        return batch

    def _dense(self, column: Ragged, chunk: np.ndarray, row: np.ndarray, buffers: Buffers) -> Tensor:
        """Class ids as indicators (B, C)."""
        values, lengths = column.gather(chunk, row)
        dense = buffers.take(len(row))
        dense.numpy().fill(0)  # three times as fast as torch's zero_
        dense.numpy()[np.repeat(np.arange(len(row)), lengths), values] = 1
        return dense

    def _add_frames(self, batch: Batch, chunk: list[int], row: list[int]) -> None:
        """Frames, dequantised, then padded with zeros to the longest video of the batch.

        A modality with more frames than the video (see `Video.num_frames`) is cut to it.
        """
        lengths = [int(self.num_frames[c][r]) for c, r in zip(chunk, row, strict=True)]
        batch.num_frames = torch.tensor(lengths)
        for modality, column in self.frames.items():
            padded = np.zeros((len(row), max(lengths), column.vectors[0].shape[1]), np.float32)
            for place, (c, r, length) in enumerate(zip(chunk, row, lengths, strict=True)):
                found = column.rows(c, r)[:length]
                quantised = found.dtype == np.uint8
                padded[place, : len(found)] = dequantise(found, *self.ranges[modality]) if quantised else found
            batch.frames[modality] = torch.from_numpy(padded)


def sizes_of(store: Store, modalities: Iterable[str] | None, frames: bool) -> dict[str, int]:
    """The modalities to read, and the sizes of their vectors."""
    there = store.shapes.frames if frames else store.shapes.features
    if frames and not there:
        raise ValueError(f"frames must be in the store to be read, {store.folder} has video-level features only")
    if modalities is None:
        return dict(there)
    if frames:  # a modality without frames is read beside them, as a vector
        there = {**store.shapes.features, **there}
    asked = list(modalities)
    for modality in asked:
        if modality not in there:
            raise ValueError(f"modalities must be among {', '.join(there)}, got {modality!r}")
    return {modality: there[modality] for modality in asked}


def is_labelled(store: Store, split: str) -> bool:
    counts = store.counts(split)
    if 0 < counts.labelled < counts.videos:
        raise ValueError(
            f"{counts.videos - counts.labelled} of the {counts.videos} videos in {split} have no labels; "
            "label all or none, or drop the labels"
        )
    return counts.labelled > 0
