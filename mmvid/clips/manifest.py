"""The manifest of a store of clips: what was read, what was kept and left out, and a digest of the result."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

from mmvid.config import Options, option
from mmvid.manifests import StoredManifest, digest_of

FORMAT = 1
LISTED = 1000  # clips left out that a manifest lists; all are counted
SPLITS = ("train", "dev", "validate")

OnError = Literal["stop", "skip"]
Column = Literal["frames", "masks", "actions", "positions", "table"]


class Layout(Options):
    """What every clip of a store has."""

    height: int = option(..., "pixels", ge=1)
    width: int = option(..., "pixels", ge=1)
    actions: int = option(0, "numbers of an action; 0 where there are none", ge=0)
    positions: int = option(0, "numbers of a position of the robot's hand; 0 where there are none", ge=0)
    categories: tuple[str, ...] = option((), "what the masks show, one mask each; none where there are no masks")


class FileEntry(Options):
    """One file of the store."""

    name: str = option(..., "its name in the store's folder")
    column: Column = option(..., "what it holds")
    bytes: int = option(..., "its size", ge=0)
    digest: str = option(..., "BLAKE2b of its bytes")


class Counts(Options):
    """What there is of one split."""

    clips: int = option(0, "clips; each camera of a trajectory gives one")
    trajectories: int = option(0, "trajectories")
    frames: int = option(0, "frames of all clips")
    shortest: int = option(0, "frames of the shortest clip")
    longest: int = option(0, "frames of the longest clip")


class SkippedClip(Options):
    """One clip that was left out."""

    file: str = option(..., "its file")
    reason: str = option(..., "kind of fault")
    what: str = option(..., "the fault in words")


class Skipped(Options):
    """The clips that were left out."""

    count: int = option(0, "all of them")
    reasons: dict[str, int] = option({}, "how many for each kind of fault")
    clips: list[SkippedClip] = option([], f"the first {LISTED}")


class Source(Options):
    """What was ingested, and how."""

    folder: str = option(..., "where the clips came from")
    kind: str = option(..., "the reader")
    request: str = option("", "digest of everything that decides the result, to know the same ingest again")
    options: dict[str, Any] = option({}, "the reader's options")
    made: bool = option(False, "whether the clips are made demo data")


class Manifest(StoredManifest):
    """A store's manifest."""

    of: ClassVar = "a store of clips"
    mark: ClassVar = "layout"

    format: Literal[FORMAT] = option(FORMAT, "version of the store's layout")
    digest: str = option(..., "digest of layout, names and files")
    layout: Layout = option(..., "what every clip has")
    classes: tuple[str, ...] = option((), "the classes' names, where clips have one")
    splits: dict[Literal[SPLITS], Counts] = option(..., "counts of each split")
    files: list[FileEntry] = option(..., "the files")
    shards: list[int] = option(..., "frames of each shard")
    skipped: Skipped = option(Skipped(), "clips left out")
    notes: dict[str, int] = option({}, "what is worth telling of the others, counted")
    source: Source = option(..., "what it was made from")


def add_skipped(one: Skipped, other: Skipped) -> Skipped:
    """What was left out of two parts; the list is capped, the counts are not."""
    reasons = {
        name: one.reasons.get(name, 0) + other.reasons.get(name, 0) for name in sorted(one.reasons | other.reasons)
    }
    return Skipped(count=one.count + other.count, reasons=reasons, clips=[*one.clips, *other.clips][:LISTED])


def store_digest(layout: Layout, classes: Iterable[str], files: Iterable[FileEntry]) -> str:
    """The digest of a store: equal where layout, class names and all bytes of all files are."""
    content = [layout.model_dump(mode="json"), list(classes), [[file.name, file.digest] for file in files]]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


def file_entry(folder: Path, name: str, column: Column) -> FileEntry:
    """The entry of a file that is written."""
    return FileEntry(name=name, column=column, bytes=(folder / name).stat().st_size, digest=digest_of(folder / name))
