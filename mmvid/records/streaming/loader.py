"""The batches of a split read from its TFRecord shards, shuffled on the way, as those of a store would be."""

import collections
import sys
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from mmvid.records.batches import Batch, QuantisedFrames
from mmvid.records.buffers import Buffers
from mmvid.records.manifest import OnError
from mmvid.records.schema import Schema
from mmvid.records.streaming.assembly import assemble
from mmvid.records.streaming.part import Part
from mmvid.records.streaming.plan import Plan
from mmvid.records.streaming.readers import Made, Readers
from mmvid.records.streaming.reading import STALL_SECONDS, Shard, frame_kinds

BUFFER = 2048


class Stream:
    """The batches of some shards; iterating again gives the same epoch until `set_epoch`.

    A batch is that of `mmvid.records.loader.Loader` for the same videos, but that frames which are stored as bytes are
    bytes until `Batch.to` brings them to a device. Their order is drawn anew each epoch, see `plan`. It depends on the
    seed, the epoch, the buffer, the number of workers, and the numbers of videos of the shards; nothing else.
    `starting` begins at any batch of an epoch, and reads nothing that only earlier ones need.

    Memory of each process that reads: `buffer` records (up to 349 kB each of YouTube-8M's frames, 714 MB for 2048 of
    them) and three batches, whatever the size of the shards; and 8 bytes a video for the places of the records.

    Ranks have equal numbers of batches (see `mmvid.ranks`), since the number of records of each shard is known: no
    video comes twice in an epoch and none is left out.

    Attributes:
        skipped: how many records were left out so far, by the kind of fault, where `on_error` is `skip`.
    """

    def __init__(
        self,
        schema: Schema,
        shards: Iterable[Shard],
        batch_size: int,
        *,
        modalities: Iterable[str] | None = None,
        frames: bool = True,
        buffer: int = BUFFER,
        seed: int = 0,
        workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_labels: bool = False,
        on_error: OnError = "stop",
        stall_seconds: float = STALL_SECONDS,
        kinds: dict[str, str] | None = None,
    ):
        """
        Args:
            schema: what the records hold; rated segments cannot be streamed.
            shards: where the records are.
            batch_size: videos in a batch; the last ones may be smaller.
            modalities: what to read, in order; None reads all of the schema.
            frames: whether to read frames beside video-level features. Presence is then that of the frames.
            buffer: videos that each worker holds to shuffle them; 0 shuffles nothing.
            seed: of the orders.
            workers: processes that read; 0 reads in this one, when a batch is asked for.
            rank, world_size: this process of a training, and how many there are.
            drop_labels: leaves labels out even where there are some.
            on_error: `stop` raises at a record that is damaged or does not fit, `skip` tells of it on standard error
                and leaves it out: the batch is smaller then.
            stall_seconds: a read that takes longer is told of on standard error, with its file and byte.
            kinds: modality -> `uint8` or `float`, the types of its frames; None finds them in the first record.

        Raises:
            ValueError: if the schema has segments, a modality is not in it, frames are asked for and there are none, or
                so few videos cannot be given to so many ranks.
        """
        if schema.segments is not None:
            raise ValueError(f"schema {schema.name} has rated segments, which cannot be streamed; ingest them")
        self.schema, self.shards = schema, tuple(shards)
        self.modalities = tuple(schema.features if modalities is None else modalities)
        for modality in self.modalities:
            if modality not in schema.features:
                there = ", ".join(schema.features)
                raise ValueError(f"modalities must be among {there} for a stream, got {modality!r}")
        self.kinds = frame_kinds(schema, list(self.shards)) if kinds is None else kinds
        self.frames = frames
        if frames and not self.kinds:
            raise ValueError("frames must be in the shards to be read, they have video-level features only")
        self.plan = Plan(
            tuple(map(len, self.shards)), batch_size, buffer, seed, rank, world_size, workers=max(1, workers)
        )
        self.count, self.length = sum(self.plan.counts), len(self.plan)
        self.in_processes = workers > 0
        self.drop_labels, self.on_error, self.stall_seconds = drop_labels, on_error, stall_seconds
        self.epoch = 0
        self.skipped: collections.Counter[str] = collections.Counter()
        self._floats = Buffers(1, np.float32)
        self._memory: dict[tuple[str, type], Buffers] = {}

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next iteration is: its order follows from it."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        return self.starting(0)

    def starting(self, batch: int) -> Iterator[Batch]:
        """The epoch from its batch of this number on.

        Raises:
            CorruptRecord, BadRecord: at a record that is damaged or does not fit, if `on_error` is `stop`.
            ValueError: if a shard changed, or all videos of a batch are damaged. OSError: if one cannot be read.
            ChildProcessError: if a worker was killed.
        """
        parts = [self._part(worker, batch) for worker in range(self.plan.workers)]
        if not self.in_processes:
            made = self._made(parts[0])
            yield from map(self._batch, made)
            return
        with Readers(parts) as readers:
            order = (number % len(parts) for number in range(batch, self.length))
            yield from map(self._batch, readers.batches(order))

    def _part(self, worker: int, first: int) -> Part:
        return Part(
            plan=self.plan,
            epoch=self.epoch,
            worker=worker,
            first=first,
            schema=self.schema,
            shards=self.shards,
            modalities=self.modalities,
            kinds=self.kinds,
            frames=self.frames,
            on_error=self.on_error,
            stall_seconds=self.stall_seconds,
        )

    def _made(self, part: Part) -> Iterator[Made]:
        for places, videos, skipped in part.batches():
            arrays = assemble(self.schema, videos, list(self.modalities), self.kinds, self.frames, self._take)
            yield Made([video.id for video in videos], places, skipped, arrays)

    def _take(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        buffers = self._memory.setdefault((name, dtype), Buffers(1, dtype))
        return buffers.take(int(np.prod(shape))).numpy().reshape(shape)

    def _batch(self, made: Made) -> Batch:
        for problem in made.skipped:
            self.skipped[problem.reason] += 1
            sys.stderr.write(f"skipped: {problem}\n")
        tensors = {name: torch.from_numpy(array) for name, array in made.arrays.items()}
        names = (f"{self.shards[shard].name}#{number}" for shard, number in made.places)
        batch = Batch(
            ids=[id or name for id, name in zip(made.ids, names, strict=True)],
            features={m: tensors[f"features.{m}"] for m in self.modalities},
            num_frames=tensors["num_frames"],
            presence={m: tensors[f"presence.{m}"] for m in self.modalities},
            labels=None if self.drop_labels else tensors.get("labels"),
        )
        for modality in self.modalities if self.frames else ():
            if modality not in self.kinds:
                continue
            frames = tensors[f"frames.{modality}"]
            if frames.dtype == torch.uint8:
                spread = self.schema.features[modality].quantised_range
                lengths = tensors[f"lengths.{modality}"]
                batch.quantised[modality] = QuantisedFrames(frames, lengths, spread, self._floats)
            else:
                batch.frames[modality] = frames
        return batch
