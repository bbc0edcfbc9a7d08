"""A split whose features stay in TFRecords (see `ingest`), as batches: what the store has, beside what is streamed."""

from collections.abc import Iterable, Iterator

import numpy as np

from mmvid.records.batches import Batch
from mmvid.records.loader import Rows, is_labelled, sizes_of
from mmvid.records.store import Store
from mmvid.records.streaming.loader import BUFFER, Stream
from mmvid.records.streaming.part import Made
from mmvid.records.streaming.reading import Shard
from mmvid.records.words import NO_WORDS, Words
from mmvid.storage import File


class SplitStream(Stream):
    """The shuffled batches of such a split, those that `mmvid.records.loader.Loader` would give of a whole store.

    Ids, labels, texts and further features come from the store, all others from the shards. Shards that are not as they
    were ingested are refused.
    """

    def __init__(
        self,
        store: Store,
        split: str,
        batch_size: int,
        *,
        modalities: Iterable[str] | None = None,
        frames: bool = False,
        means: bool = True,
        buffer: int = BUFFER,
        seed: int = 0,
        workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
        words: Words = NO_WORDS,
        only_with_words: bool = False,
    ):
        """The arguments are those of `Stream` and of `Loader`.

        Raises:
            ValueError: as both do, and if the split's features are in the store.
        """
        words.check(store)
        self.store, self.split, self.words = store, split, words
        sizes = sizes_of(store, modalities, frames)
        own = store.schema.features
        self.asked = list(sizes)
        self.labelled = is_labelled(store, split)
        chosen = words.known(split) if only_with_words else np.ones(store.count(split), bool)
        shards, self._numbers = _shards(store, split, chosen)
        kinds = {m: "float" if m in store.shapes.float_frames else "uint8" for m in store.shapes.frames}
        super().__init__(
            store.schema,
            shards,
            batch_size,
            modalities=[modality for modality in sizes if modality in own],
            frames=frames,
            means=means,
            buffer=buffer,
            seed=seed,
            workers=workers,
            rank=rank,
            world_size=world_size,
            on_error=store.base.contents.source.on_error,
            kinds=kinds,
        )
        self._stored = {modality: size for modality, size in sizes.items() if modality not in own}
        self._rows: Rows | None = None

    def starting(self, batch: int) -> Iterator[Batch]:
        if self.count == 0:
            return
        if self._rows is None:
            self._rows = Rows(self.store, self.split, self._stored, frames=False)
        yield from super().starting(batch)

    def _batch(self, made: Made) -> Batch:
        streamed = super()._batch(made)
        rows = np.array([self._numbers[shard][number] for shard, number in made.places])
        batch = self._rows.batch(rows, self.labelled)
        both = {**batch.features, **streamed.features}
        batch.features = {modality: both[modality] for modality in self.asked if modality in both}
        batch.presence |= streamed.presence
        batch.num_frames, batch.frames, batch.quantised = streamed.num_frames, streamed.frames, streamed.quantised
        self.words.add(batch, self.split, rows)
        return batch


def _shards(store: Store, split: str, chosen: np.ndarray) -> tuple[list[Shard], list[np.ndarray]]:
    """The shards of a split, and the rows of the videos that are chosen of each."""
    files = store.streamed(split)
    if not files:
        raise ValueError(f"{split} of {store.folder} has its features in the store; they are not streamed")
    places = np.concatenate([batch.column("byte").to_numpy() for batch in store.batches(split)])
    shards, numbers, first = [], [], 0
    for file in files:
        rows = first + np.flatnonzero(chosen[first : first + file.rows])
        first += file.rows
        shard = file.shard
        shards.append(Shard(File(shard.place, shard.size, shard.version), shard.name, places[rows]))
        numbers.append(rows)
    return shards, numbers
