"""The manifest of a store: what an ingest read, what it kept, what it left out, and a digest of the result."""

import collections
import hashlib
import json
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from mmvid.config import Options, option
from mmvid.manifests import StoredManifest
from mmvid.records.schema import Schema
from mmvid.records.splits import SPLITS

FORMAT = 1
LISTED = 1000  # skipped records that a manifest lists; all are counted

OnError = Literal["stop", "skip"]


class ShardEntry(Options):
    """The TFRecord file that holds the features of an Arrow file's videos."""

    name: str = option(..., "its name in the data set, such as train/train0000.tfrecord")
    place: str = option(..., "where it lies")
    size: int = option(..., "bytes")
    version: int | str = option(..., "time of change (ns), or ETag on S3")


class FileEntry(Options):
    """One Arrow file."""

    name: str = option(..., "its name in the store's folder")
    split: Literal[SPLITS] = option(..., "the split whose videos it holds")
    rows: int = option(..., "videos in it", ge=1)
    bytes: int = option(..., "its size", ge=1)
    digest: str = option(..., "BLAKE2b of its bytes")
    # Left out of the JSON where there is none.
    shard: ShardEntry | None = option(
        None,
        "where the features of its videos are, which are streamed from there",
        exclude_if=lambda shard: shard is None,
    )


class Counts(Options):
    """What there is of one split."""

    videos: int = option(0, "videos")
    labelled: int = option(0, "videos that have labels, if only an empty list of them")
    labels: list[int] = option([], "videos of each label")
    features: dict[str, int] = option({}, "videos that have each modality's video-level feature")
    frames: dict[str, int] = option({}, "videos that have each modality's frames")
    title: int = option(0, "videos with a title")
    keywords: int = option(0, "videos with keywords")
    text: int = option(0, "videos with a title or keywords")


class SkippedRecord(Options):
    """One record that was left out."""

    file: str = option(..., "its file, relative to the source folder")
    byte: int = option(..., "byte at which it begins")
    reason: str = option(..., "kind of fault")
    what: str = option(..., "the fault in words")


class Skipped(Options):
    """The records that were left out."""

    count: int = option(0, "all of them")
    reasons: dict[str, int] = option({}, "how many for each kind of fault")
    records: list[SkippedRecord] = option([], f"the first {LISTED}")


class TextCounts(Options):
    """How the text file and the videos fit together."""

    file: str = option(..., "the file")
    rows: int = option(..., "its lines")
    joined: int = option(..., "videos whose id has a line")
    no_video: int = option(..., "lines whose id no video has")


class Source(Options):
    """What was ingested, and how."""

    folder: str = option(..., "the folder of TFRecords")
    request: str = option(..., "digest of everything that decides the result, to know the same ingest again")
    has_dev: bool = option(..., "whether the source has a dev of its own")
    dev_share: float = option(..., "else the share of train that became dev and gate")
    seed: int = option(..., "seed of that share")
    on_error: OnError = option(..., "what happened at a record that does not fit")
    vocabulary: str | None = option(None, "file of the labels' names")


class Extended(Options):
    """The store whose videos have more features here."""

    folder: str = option(..., "where it lies, relative to this one")
    digest: str = option(..., "its digest")
    request: str = option(..., "digest of everything that decides the features, to know them again")
    made: dict[str, Any] = option({}, "how they were made, in words")


class Manifest(StoredManifest):
    """A store's manifest."""

    of: ClassVar = "a store"
    mark: ClassVar = "schema"

    format: Literal[FORMAT] = option(FORMAT, "version of the store's layout")
    digest: str = option(..., "digest of schema, names and files")
    records: Schema = option(..., "the schema of the records", alias="schema")
    features: dict[str, int] = option(..., "size of each modality's video-level feature, if a video has one")
    frames: dict[str, int] = option(..., "size of each modality's frames, if a video has some")
    names: list[str] = option(..., "the label's names; not unique")
    splits: dict[Literal[SPLITS], Counts] = option(..., "counts of each split")
    files: list[FileEntry] = option(..., "the files, in the order of their rows")
    skipped: Skipped = option(Skipped(), "records left out")
    hidden_ids: int = option(0, "videos whose id the source hides; they are named by file and row")
    text: TextCounts | None = option(None, "the text file, where there is one")
    source: Source = option(..., "what it was made from")
    extends: Extended | None = option(None, "the store that holds all other columns; none: this one does")


def add_counts(one: Counts, other: Counts) -> Counts:
    """The counts of two sets of videos together."""

    def summed(name: str) -> dict[str, int]:
        a, b = getattr(one, name), getattr(other, name)
        return {modality: a.get(modality, 0) + b.get(modality, 0) for modality in a | b}

    sums = {
        name: getattr(one, name) + getattr(other, name) for name in ("videos", "labelled", "title", "keywords", "text")
    }
    labels = [a + b for a, b in zip(one.labels, other.labels, strict=True)]
    return Counts(**sums, labels=labels, features=summed("features"), frames=summed("frames"))


def add_skipped(one: Skipped, other: Skipped) -> Skipped:
    """The skipped records of two parts together; the list is capped, the counts are not."""
    reasons = collections.Counter(one.reasons) + collections.Counter(other.reasons)
    records = [*one.records, *other.records][:LISTED]
    return Skipped(count=one.count + other.count, reasons=dict(sorted(reasons.items())), records=records)


def sizes_of(schema: Schema, held: Iterable[dict[str, int]]) -> dict[str, int]:
    """The sizes of the modalities that at least one video has; `held` counts the videos of each, by split."""
    found = {modality for counts in held for modality, videos in counts.items() if videos}
    return {modality: spec.size for modality, spec in schema.features.items() if modality in found}


def store_digest(schema: Schema, names: list[str], files: Iterable[FileEntry]) -> str:
    """The digest of a store: equal where schema, label names and all bytes of all files are."""
    listed = [[file.name, file.split, file.digest] for file in files]
    content = json.dumps([schema.model_dump(mode="json"), names, listed])
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()
