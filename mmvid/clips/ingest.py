"""Published clips become a store.

A shard holds the clips of some files, or of a part of one. A killed ingest goes on with the shards that it had not
finished, and ends with the same bytes.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from tqdm import tqdm

from mmvid import storage
from mmvid.clips import readers
from mmvid.clips.clip import Clip
from mmvid.clips.manifest import (
    FORMAT,
    LISTED,
    Layout,
    Manifest,
    OnError,
    Skipped,
    SkippedClip,
    Source,
)
from mmvid.clips.pictures import fitted_clip
from mmvid.clips.sources import BadClip, Piece, ReadOptions, Report, find_clips
from mmvid.clips.store import ClipStore
from mmvid.clips.writing import Shard, SplitBy, check_layout, write_shard, write_table
from mmvid.durable import claimed, remove_leftovers, replacing
from mmvid.manifests import NAME

DEV_SHARE = VALIDATE_SHARE = 0.1
STATE = ".ingest"

_SHARD_BYTES = 128 << 20  # of source; a shard is what a killed ingest does again
_SHARD_PIECES = 512
_TELL_SECONDS = 30


@dataclasses.dataclass(frozen=True)
class Reading:
    """What an ingest reads, and how.

    Attributes:
        data: the place.
        kind: the reader's name.
        pieces: what is read at a time.
        read: the clips of a piece; faults go to the second argument, what is only worth telling is in the third.
        options: the reader's, as JSON values.
        by: what lies in one split only.
        notes: what was left aside before anything was read, counted.
    """

    data: str
    kind: str
    pieces: list[Piece]
    read: Callable[[Piece, Report, Counter[str]], Iterator[Clip]]
    options: dict[str, Any]
    by: SplitBy = "trajectory"
    notes: Counter[str] = dataclasses.field(default_factory=Counter)


def ingest(
    data: str,
    folder: str | os.PathLike,
    *,
    kind: str = "auto",
    options: ReadOptions | None = None,
    on_error: OnError = "stop",
    dev_share: float = DEV_SHARE,
    validate_share: float = VALIDATE_SHARE,
    seed: int = 0,
    made: bool = False,
    progress: bool = True,
) -> ClipStore:
    """Makes a store of clips, or finds it made. Memory is that of one clip, whatever the size of the data.

    Args:
        data: a file or a folder, on disk or on S3; see `sources.find_clips`.
        folder: as of `ingest_reading`, and so are those that are not named here.
        kind: the reader, or `auto`.
        options: how clips are read.

    Raises:
        ValueError: one sentence that says what is wrong, and in which file.
        OSError: if a file cannot be read or written.
    """
    options = options or ReadOptions()
    kind, located = find_clips(data, kind)
    reader = readers.load(kind)

    def read(piece: Piece, report: Report, notes: Counter[str]) -> Iterator[Clip]:
        for clip in reader.read(piece, options, report):
            yield fitted_clip(clip, options.clip_resolution)

    return ingest_reading(
        Reading(data, kind, reader.pieces(located), read, options.model_dump()),
        folder,
        on_error=on_error,
        dev_share=dev_share,
        validate_share=validate_share,
        seed=seed,
        made=made,
        progress=progress,
    )


def ingest_reading(
    reading: Reading,
    folder: str | os.PathLike,
    *,
    on_error: OnError = "stop",
    dev_share: float = DEV_SHARE,
    validate_share: float = VALIDATE_SHARE,
    seed: int = 0,
    made: bool = False,
    progress: bool = True,
) -> ClipStore:
    """Makes a store of what a reader gives, or finds it made.

    Args:
        reading: what is read, and how.
        folder: where the store goes: nothing, an empty folder, a store, or what a killed ingest left. A store of the
            same input is returned as it is, one of another input is replaced.
        on_error: `stop` raises at the first clip that cannot be read or is unlike the first; `skip` leaves such clips
            out, and the manifest counts and lists them.
        dev_share, validate_share: shares of train's trajectories that become dev and validate where there are none.
        seed: which ones.
        made: whether the clips are made demo data.
        progress: whether to show it, as a bar over bytes on a terminal, else as a line now and then.

    Raises:
        ValueError: one sentence that says what is wrong, and in which file.
        OSError: if a file cannot be read or written.
    """
    folder = Path(folder)
    for name, share in (("dev_share", dev_share), ("validate_share", validate_share)):
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {share}")
    if on_error not in ("stop", "skip"):
        raise ValueError(f"on_error must be stop or skip, got {on_error!r}")
    if not reading.pieces:
        raise ValueError(f"{reading.data} must hold at least one clip, its files hold none")
    with claimed(folder, (NAME, STATE), "a store", "ingests into"):
        plans = _plan(_distinct(reading.pieces))
        settings = [FORMAT, reading.kind, reading.options, on_error, dev_share, validate_share, seed, made]
        request = _digest(settings) + _digest([[piece.key() for piece in plan] for plan in plans])
        if (folder / NAME).exists() and Manifest.read(folder).source.request == request:
            shutil.rmtree(folder / STATE, ignore_errors=True)
            return ClipStore.open(folder)
        (folder / STATE).mkdir(exist_ok=True)
        (folder / NAME).unlink(missing_ok=True)  # from here on there is no store until the new one is whole
        _remove_leftovers(folder)
        try:
            layout = _first_layout(reading, plans, on_error)
            shards = _run(folder, reading, plans, layout, on_error, progress)
        finally:
            _remove_leftovers(folder)
        source = Source(
            folder=storage.absolute(reading.data),
            kind=reading.kind,
            request=request,
            options=reading.options | {"dev_share": dev_share, "validate_share": validate_share, "seed": seed},
            made=made,
        )
        shares = {"dev_share": dev_share, "validate_share": validate_share}
        manifest = write_table(folder, layout, shards, source, seed=seed, by=reading.by, **shares)
        notes = sum((Counter(shard.notes) for shard in shards), reading.notes)
        manifest.model_copy(update={"notes": dict(sorted(notes.items()))}).write(folder)
        shutil.rmtree(folder / STATE)
        _remove_others(folder)
    return ClipStore.open(folder)


def write_clips(
    folder: str | os.PathLike,
    clips: Iterable[Clip],
    *,
    name: str = "clips",
    dev_share: float = DEV_SHARE,
    validate_share: float = VALIDATE_SHARE,
    seed: int = 0,
    made: bool = False,
) -> ClipStore:
    """A store of clips that a program has at hand.

    Args:
        folder: where the store goes; a store that is there is replaced.
        clips: the clips, all of one layout.
        name: what the store is called.
        dev_share, validate_share: shares of train's trajectories that become dev and validate where there are none.
        seed: which ones.
        made: whether the clips are made demo data.

    Raises:
        ValueError: if there is no clip, or one is unlike the first.
    """
    folder = Path(folder)
    waiting = iter(clips)
    first = next(waiting, None)
    if first is None:
        raise ValueError("there must be at least one clip to store")
    with claimed(folder, (NAME, STATE), "a store", "ingests into"):
        (folder / NAME).unlink(missing_ok=True)
        shard = write_shard(folder, 0, first.layout, _after(first, waiting))
        shares = {"dev_share": dev_share, "validate_share": validate_share}
        source = Source(folder=str(folder), kind=name, options=shares | {"seed": seed}, made=made)
        write_table(folder, first.layout, [shard], source, seed=seed, **shares).write(folder)
        _remove_others(folder)
    return ClipStore.open(folder)


def fingerprint(data: str, kind: str = "auto") -> str:
    """A cheap digest of what an ingest would read: kind, names, sizes and versions of the files.

    Raises:
        ValueError: as `sources.find_clips`.
    """
    kind, located = find_clips(data, kind)
    return _digest([kind, [[each.split, each.parts, each.file.size, each.file.version] for each in located]])


class _Faults:
    """The faults of a shard: the first is raised, or all are counted."""

    def __init__(self, on_error: OnError):
        self.on_error = on_error
        self.reasons: Counter[str] = Counter()
        self.listed: list[SkippedClip] = []

    def __call__(self, fault: BadClip) -> None:
        if self.on_error == "stop":
            raise fault
        self.reasons[fault.reason] += 1
        if len(self.listed) < LISTED:
            self.listed.append(fault.skipped)

    @property
    def skipped(self) -> Skipped:
        return Skipped(count=self.reasons.total(), reasons=dict(sorted(self.reasons.items())), clips=self.listed)


def _distinct(pieces: list[Piece]) -> list[Piece]:
    names = Counter((piece.name, piece.first, piece.layout) for piece in pieces)
    (name, *_), times = names.most_common(1)[0]
    if times > 1:
        places = [piece.file.place for piece in pieces if piece.name == name]
        raise ValueError(f"{places[0]} and {places[1]} would both be called {name}; rename one")
    return pieces


def _plan(pieces: list[Piece]) -> list[list[Piece]]:
    """The pieces of each shard: small ones together, none divided."""
    plans: list[list[Piece]] = [[]]
    for piece in pieces:
        full = sum(other.size for other in plans[-1]) + piece.size > _SHARD_BYTES or len(plans[-1]) >= _SHARD_PIECES
        if plans[-1] and (full or piece.count is not None):
            plans.append([])
        plans[-1].append(piece)
    return plans


def _first_layout(reading: Reading, plans: list[list[Piece]], on_error: OnError) -> Layout:
    """The layout of the first clip that can be read, which the others must have, too."""
    faults = _Faults(on_error)
    for plan in plans:
        for piece in plan:
            for clip in reading.read(piece, faults, Counter()):
                try:
                    check_layout(clip, clip.layout)
                except ValueError as error:
                    faults(BadClip(piece.file, "layout", str(error)))
                else:
                    return clip.layout
    first = f"; the first: {faults.listed[0].what}" if faults.listed else ""
    raise ValueError(f"{reading.data}: no clip could be kept, {faults.skipped.count} were left out{first}")


def _run(
    folder: Path, reading: Reading, plans: list[list[Piece]], layout: Layout, on_error: OnError, progress: bool
) -> list[Shard]:
    """Writes the shards that are not there yet; all of them, in order."""
    shards: list[Shard] = []
    total = sum(piece.size for plan in plans for piece in plan)
    terminal = sys.stderr.isatty()
    told = time.monotonic()
    with tqdm(desc="ingest clips", total=total, unit="B", unit_scale=True, disable=not (progress and terminal)) as bar:
        for number, plan in enumerate(plans):
            key = _digest([FORMAT, layout.model_dump(), reading.options, on_error, [p.key() for p in plan]])
            note = folder / STATE / f"{number:05d}.json"
            shard = _read_note(note, key, folder)
            if shard is None:
                faults, notes = _Faults(on_error), Counter()
                shard = write_shard(folder, number, layout, _clips(reading, plan, layout, faults, notes, bar))
                shard = shard.model_copy(update={"skipped": faults.skipped, "notes": dict(notes)})
                with replacing(note) as path:
                    path.write_text(json.dumps({"key": key, "shard": shard.model_dump(mode="json")}))
            else:
                bar.update(sum(piece.size for piece in plan))
            shards.append(shard)
            if progress and not terminal and time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                clips = sum(len(shard.rows) for shard in shards)
                sys.stderr.write(f"ingest clips: {number + 1} of {len(plans)} shards, {clips} clips\n")
    return shards


def _clips(
    reading: Reading, plan: list[Piece], layout: Layout, faults: _Faults, notes: Counter[str], bar: tqdm
) -> Iterator[Clip]:
    """The clips of a shard that are as they must be."""
    for piece in plan:
        for clip in reading.read(piece, faults, notes):
            try:
                check_layout(clip, layout)
            except ValueError as error:
                faults(BadClip(piece.file, "layout", str(error)))
            else:
                yield clip
        for file in piece.files:
            if not storage.is_remote(file):  # what is read from S3 is of one version anyway
                storage.check_unchanged(file)
        bar.update(piece.size)


def _read_note(note: Path, key: str, folder: Path) -> Shard | None:
    """What an ingest that was killed had finished."""
    try:
        content = json.loads(note.read_bytes())
        shard = Shard(**content["shard"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None
    whole = all(
        (folder / file.name).is_file() and (folder / file.name).stat().st_size == file.bytes for file in shard.files
    )
    return shard if content["key"] == key and whole else None


def _after(first: Clip, rest: Iterable[Clip]) -> Iterator[Clip]:
    yield first
    yield from rest


def _digest(content: list) -> str:
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


def _remove_leftovers(folder: Path) -> None:
    remove_leftovers(folder)
    remove_leftovers(folder / STATE)


def _remove_others(folder: Path) -> None:
    """Removes files of a store that was here before."""
    kept = {file.name for file in Manifest.read(folder).files} | {NAME, ".lock"}
    for path in folder.iterdir():
        if path.name not in kept and path.is_file() and path.suffix in (".frames", ".masks", ".actions", ".positions"):
            path.unlink()
