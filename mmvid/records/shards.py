"""Arrow files of videos: their columns, and a writer whose memory is bounded.

id               string
labels           list<int32>, null where the record has none
rated            list<int32>, null where nobody rated the segment; only where the schema has segments
num_frames       int32
title, language  string, null where absent
keywords         list<string>, null where absent
features.<m>     fixed_size_list<float>[D], null where the video lacks modality m
frames.<m>       list<fixed_size_list<uint8 or float>[D]>, likewise; only where the source has frames

Videos whose features are streamed have instead of the features and the frames:

byte             int64, at which the record begins in its TFRecord file, uncompressed
checksum         uint32, masked CRC-32C of the record
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from mmvid.durable import replacing
from mmvid.manifests import digest_of
from mmvid.records.manifest import Counts, FileEntry
from mmvid.records.schema import Schema, Video
from mmvid.records.text import Text

BATCH_BYTES = 8 * 1024 * 1024  # rows that a writer gathers before it writes them; one larger row goes alone
_ROW_BYTES = 64  # ids, offsets and the like

Whereabouts = tuple[int, int]
"""The byte at which a record begins in its file, and its checksum."""


def columns(schema: Schema, frames: dict[str, str], streamed: bool = False) -> pa.Schema:
    """The columns of a data set.

    Args:
        schema: its modalities and their sizes.
        frames: modality -> `uint8` or `float`, for those that the source has frames of.
        streamed: whether the features stay where they are.
    """
    fields = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.int32())),
        *([] if schema.segments is None else [pa.field("rated", pa.list_(pa.int32()))]),
        pa.field("num_frames", pa.int32(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("keywords", pa.list_(pa.string())),
        pa.field("language", pa.string()),
    ]
    if streamed:
        return pa.schema([*fields, pa.field("byte", pa.int64()), pa.field("checksum", pa.uint32())])
    for modality, spec in schema.features.items():
        fields.append(pa.field(f"features.{modality}", pa.list_(pa.float32(), spec.size)))
    for modality, kind in frames.items():
        vector = pa.list_(pa.type_for_alias(kind), schema.features[modality].size)
        fields.append(pa.field(f"frames.{modality}", pa.list_(vector)))
    return pa.schema(fields)


class ShardWriter:
    """Writes one Arrow file; a context manager, and the file is there only if the block ends well.

    Memory: at most twice `BATCH_BYTES`, whatever the number of rows.

    Attributes:
        entry: the file, when the block has ended.
        counts: what was written.
    """

    def __init__(self, path: Path, split: str, schema: Schema, frames: dict[str, str], streamed: bool = False):
        self.path, self.split, self.schema, self.frames, self.streamed = path, split, schema, frames, streamed
        self.columns = columns(schema, frames, streamed)
        self.row_bytes = _ROW_BYTES + sum(4 * spec.size for spec in schema.features.values())
        self.rows: list[tuple[str, Video, Text, Whereabouts]] = []
        self.bytes = 0
        self.tally = dict.fromkeys(("videos", "labelled", "title", "keywords", "text"), 0)
        self.labels = np.zeros(schema.classes, np.int64)
        self.features, self.kept_frames = dict.fromkeys(schema.features, 0), dict.fromkeys(frames, 0)
        self.entry: FileEntry | None = None

    def __enter__(self) -> "ShardWriter":
        self.replacing = replacing(self.path)
        self.temporary = self.replacing.__enter__()
        self.file = pa.ipc.new_file(str(self.temporary), self.columns)
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                self._flush()
            self.file.close()
            if kind is None:
                self.entry = self._entry()
        except BaseException as fault:
            self.replacing.__exit__(type(fault), fault, fault.__traceback__)
            raise
        self.replacing.__exit__(kind, error, trace)

    @property
    def counts(self) -> Counts:
        return Counts(**self.tally, labels=self.labels.tolist(), features=self.features, frames=self.kept_frames)

    def add(self, id: str, video: Video, text: Text, whereabouts: Whereabouts = (0, 0)) -> None:
        """Adds a row. `id` is the video's, or what stands for a hidden one."""
        size = self.row_bytes + sum(rows.nbytes for rows in video.frames.values())
        size += 4 * (len(text.title or "") + sum(map(len, text.keywords or ())))
        if self.rows and self.bytes + size > BATCH_BYTES:
            self._flush()
        self.rows.append((id, video, text, whereabouts))
        self.bytes += size

    def _flush(self) -> None:
        if not self.rows:
            return
        ids, videos, texts, whereabouts = zip(*self.rows, strict=True)
        self._count(videos, texts)
        arrays = {
            "id": pa.array(ids, pa.string()),
            "labels": pa.array([video.labels for video in videos], pa.list_(pa.int32())),
            "num_frames": pa.array([video.num_frames for video in videos], pa.int32()),
            "title": pa.array([text.title for text in texts], pa.string()),
            "keywords": pa.array([text.keywords for text in texts], pa.list_(pa.string())),
            "language": pa.array([text.language for text in texts], pa.string()),
        }
        if self.schema.segments is not None:
            arrays["rated"] = pa.array([video.rated for video in videos], pa.list_(pa.int32()))
        arrays |= self._whereabouts(whereabouts) if self.streamed else self._features(videos)
        self.file.write_batch(pa.RecordBatch.from_pydict(arrays, self.columns))
        self.rows, self.bytes = [], 0

    def _features(self, videos: tuple[Video, ...]) -> dict[str, pa.Array]:
        arrays = {}
        for modality in self.schema.features:
            name = f"features.{modality}"
            kind = self.columns.field(name).type
            arrays[name] = _vectors([video.features.get(modality) for video in videos], kind)
        for modality in self.frames:
            name = f"frames.{modality}"
            kind = self.columns.field(name).type
            arrays[name] = _ragged([video.frames.get(modality) for video in videos], kind)
        return arrays

    def _whereabouts(self, found: tuple[Whereabouts, ...]) -> dict[str, pa.Array]:
        byte, checksum = zip(*found, strict=True)
        return {"byte": pa.array(byte, pa.int64()), "checksum": pa.array(checksum, pa.uint32())}

    def _count(self, videos: tuple[Video, ...], texts: tuple[Text, ...]) -> None:
        self.tally["videos"] += len(videos)
        labelled = [video.labels for video in videos if video.labels is not None]
        self.tally["labelled"] += len(labelled)
        if labelled:
            self.labels += np.bincount(np.concatenate(labelled), minlength=self.schema.classes)
        for modality in self.features:
            self.features[modality] += sum(modality in video.features for video in videos)
        for modality in self.kept_frames:
            self.kept_frames[modality] += sum(modality in video.frames for video in videos)
        for text in texts:
            self.tally["title"] += text.title is not None
            self.tally["keywords"] += text.keywords is not None
            self.tally["text"] += text.title is not None or text.keywords is not None

    def _entry(self) -> FileEntry:
        digest, size = digest_of(self.temporary), self.temporary.stat().st_size
        return FileEntry(name=self.path.name, split=self.split, rows=self.tally["videos"], bytes=size, digest=digest)


def _vectors(found: list[np.ndarray | None], kind: pa.FixedSizeListType) -> pa.Array:
    """A column of one vector a row, zeros below a null."""
    values = np.zeros((len(found), kind.list_size), np.float32)
    for row, vector in enumerate(found):
        if vector is not None:
            values[row] = vector
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), type=kind, mask=_absent(found))


def _ragged(found: list[np.ndarray | None], kind: pa.ListType) -> pa.Array:
    """A column of T vectors a row, none below a null."""
    vectors = kind.value_type
    parts = [rows.reshape(-1) for rows in found if rows is not None]
    flat = np.concatenate(parts) if parts else np.zeros(0, vectors.value_type.to_pandas_dtype())
    offsets = np.cumsum([0, *(0 if rows is None else len(rows) for rows in found)], dtype=np.int32)
    inner = pa.FixedSizeListArray.from_arrays(pa.array(flat), type=vectors)
    return pa.ListArray.from_arrays(pa.array(offsets), inner, type=kind, mask=_absent(found))


def _absent(found: list) -> pa.Array | None:
    absent = np.array([value is None for value in found])
    return pa.array(absent) if absent.any() else None
