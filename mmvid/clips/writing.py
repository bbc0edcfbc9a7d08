"""Clips become files: shards of raw columns, a table of the clips, a manifest.

    00000.frames      uint8 (F, H, W, 3), the frames of the shard's clips one after another
    00000.masks       uint8 (F, K, ceil(H * W / 8)), one bit a pixel, the first pixel the highest bit
    00000.actions     float32 (F, A), little-endian            00000.positions   float32 (F, P)
    clips.arrow       a row a clip: id, trajectory, camera, split, label, shard, first frame, frames

Raw columns need no library to be read, and are memory-mapped as they are.
"""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa

from mmvid.clips.clip import Clip
from mmvid.clips.manifest import (
    SPLITS,
    Column,
    Counts,
    FileEntry,
    Layout,
    Manifest,
    Skipped,
    Source,
    add_skipped,
    file_entry,
    store_digest,
)
from mmvid.config import Options, option
from mmvid.durable import replacing

SplitBy = Literal["trajectory", "frame"]

TABLE = "clips.arrow"
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "trajectory": pa.string(),
        "camera": pa.string(),
        "split": pa.string(),
        "label": pa.string(),
        "shard": pa.int32(),
        "first": pa.int64(),
        "frames": pa.int32(),
    }
)


class Row(Options):
    """One clip of a shard."""

    id: str = option(..., "its id")
    trajectory: str = option(..., "the scene it shows")
    camera: str = option("", "its camera")
    split: str = option(..., "the publisher's split")
    label: str | None = option(None, "its class")
    first: int = option(..., "its first frame in the shard")
    frames: int = option(..., "its frames")


class Shard(Options):
    """What a shard holds."""

    frames: int = option(..., "frames of all its clips")
    rows: list[Row] = option(..., "its clips, in order")
    files: list[FileEntry] = option(..., "its files; none where it has no clips")
    skipped: Skipped = option(Skipped(), "clips left out")
    notes: dict[str, int] = option({}, "what is worth telling of the others, counted")


def write_shard(folder: Path, number: int, layout: Layout, clips: Iterable[Clip]) -> Shard:
    """Writes the columns of some clips, all of them or nothing; memory is one clip.

    Raises:
        ValueError: if a clip is not as `layout` says.
    """
    columns = columns_of(layout)
    rows: list[Row] = []
    total = 0
    with contextlib.ExitStack() as stack:
        files: dict[Column, BinaryIO] = {}
        for column in columns:
            temporary = stack.enter_context(replacing(folder / f"{number:05d}.{column}"))
            files[column] = stack.enter_context(open(temporary, "xb", buffering=1 << 20))
        for clip in clips:
            check_layout(clip, layout)
            for column, file in files.items():
                file.write(_content(clip, column).tobytes())
            named = {name: getattr(clip, name) for name in ("id", "trajectory", "camera", "split", "label")}
            rows.append(Row(**named, first=total, frames=len(clip.frames)))
            total += len(clip.frames)
    if not rows:
        for column in columns:
            (folder / f"{number:05d}.{column}").unlink()
        columns = {}
    files = [file_entry(folder, f"{number:05d}.{column}", column) for column in columns]
    return Shard(frames=total, rows=rows, files=files)


def columns_of(layout: Layout) -> dict[Column, tuple[type, tuple[int, ...]]]:
    """The columns that a layout has, each with the type and shape of one frame's part."""
    packed = -(-layout.height * layout.width // 8)
    shapes: dict[Column, tuple[type, tuple[int, ...]]] = {
        "frames": (np.uint8, (layout.height, layout.width, 3)),
        "masks": (np.uint8, (len(layout.categories), packed)),
        "actions": (np.dtype("<f4"), (layout.actions,)),
        "positions": (np.dtype("<f4"), (layout.positions,)),
    }
    return {column: kind for column, kind in shapes.items() if np.prod(kind[1])}


def pack_masks(masks: np.ndarray) -> np.ndarray:
    """Masks bool (..., H, W) as bits, uint8 (..., ceil(H * W / 8))."""
    return np.packbits(masks.reshape(*masks.shape[:-2], -1), axis=-1)


def unpack_masks(packed: np.ndarray, height: int, width: int) -> np.ndarray:
    """The reverse of `pack_masks`."""
    bits = np.unpackbits(packed, axis=-1, count=height * width)
    return bits.reshape(*packed.shape[:-1], height, width).astype(bool)


def check_layout(clip: Clip, layout: Layout) -> None:
    """Raises ValueError unless a clip is uint8, has frames, and has what all clips of its store have."""
    frames = clip.frames
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(f"clip {clip.id}: frames must be uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}")
    for name in ("actions", "positions", "masks"):
        value = getattr(clip, name)
        if value is not None and len(value) != len(frames):
            raise ValueError(f"clip {clip.id}: {name} must be {len(frames)}, one a frame, got {len(value)}")
    found = clip.layout
    for name in Layout.model_fields:
        if getattr(found, name) != getattr(layout, name):
            raise ValueError(
                f"clip {clip.id}: {name} must be {_shown(getattr(layout, name))} as in the first clip, "
                f"got {_shown(getattr(found, name))}"
            )


def write_table(
    folder: Path,
    layout: Layout,
    shards: list[Shard],
    source: Source,
    *,
    dev_share: float,
    validate_share: float,
    seed: int,
    by: SplitBy = "trajectory",
) -> Manifest:
    """Writes the table of all clips, their splits decided; the manifest of the store, still to be written.

    Args:
        by: what lies in one split only: a trajectory, or just a clip, so that a trajectory may lie in two.

    Raises:
        ValueError: if there are no clips, an id comes twice, or a trajectory lies in two splits.
    """
    rows = [(number, row) for number, shard in enumerate(shards) for row in shard.rows]
    skipped = Skipped()
    for shard in shards:
        skipped = add_skipped(skipped, shard.skipped)
    if not rows:
        first = f"; the first: {skipped.clips[0].what}" if skipped.clips else ""
        raise ValueError(f"{source.folder}: no clip could be kept, {skipped.count} were left out{first}")
    id, times = Counter(row.id for _, row in rows).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{source.folder}: {times} clips have the id {id!r}")
    units = [row.trajectory if by == "trajectory" else row.id for _, row in rows]
    found = zip(units, (row.split for _, row in rows), strict=True)
    splits = split_trajectories(found, dev_share=dev_share, validate_share=validate_share, seed=seed)
    listed = [
        row.model_dump() | {"split": splits[unit], "shard": number}
        for unit, (number, row) in zip(units, rows, strict=True)
    ]
    listed.sort(key=lambda row: SPLITS.index(row["split"]))  # stable: the order of a split is the source's
    with replacing(folder / TABLE) as path, pa.OSFile(str(path), "wb") as file:
        with pa.ipc.new_file(file, SCHEMA) as writer:
            writer.write_table(pa.Table.from_pylist(listed, schema=SCHEMA))
    classes = tuple(sorted({row.label for _, row in rows if row.label is not None}))
    files = [file for shard in shards for file in shard.files] + [file_entry(folder, TABLE, "table")]
    return Manifest(
        digest=store_digest(layout, classes, files),
        layout=layout,
        classes=classes,
        splits={split: counts for split in SPLITS if (counts := _counts(listed, split)).clips},
        files=files,
        shards=[shard.frames for shard in shards],
        skipped=skipped,
        source=source,
    )


def split_trajectories(
    found: Iterable[tuple[str, str]], *, dev_share: float, validate_share: float, seed: int
) -> dict[str, str]:
    """The split of each trajectory: the publisher's, and shares of train for dev and validate where it has none.

    A share is a number of trajectories, at least 1, drawn in the order of a hash of seed and name. Fewer than three
    trajectories of train are not divided.

    Raises:
        ValueError: if a trajectory has two splits, or the shares leave nothing of train.
    """
    splits: dict[str, str] = {}
    for trajectory, split in found:
        if splits.setdefault(trajectory, split) != split:
            raise ValueError(f"trajectory {trajectory!r} lies in {splits[trajectory]} and in {split}")
    train = [trajectory for trajectory, split in splits.items() if split == "train"]
    train.sort(key=lambda name: hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=16).digest())
    begin = 0
    for split, share in (("dev", dev_share), ("validate", validate_share)):
        if split not in splits.values() and len(train) >= 3 and share > 0:
            taken = max(1, round(share * len(train)))
            splits |= dict.fromkeys(train[begin : begin + taken], split)
            begin += taken
    if train and begin >= len(train):
        raise ValueError(f"dev_share {dev_share} and validate_share {validate_share} leave no trajectory of train")
    return splits


def _content(clip: Clip, column: Column) -> np.ndarray:
    value = getattr(clip, column)
    return pack_masks(value) if column == "masks" else np.asarray(value, columns_of(clip.layout)[column][0])


def _counts(rows: list[dict[str, Any]], split: str) -> Counts:
    own = [row for row in rows if row["split"] == split]
    lengths = [row["frames"] for row in own]
    if not own:
        return Counts()
    return Counts(
        clips=len(own),
        trajectories=len({row["trajectory"] for row in own}),
        frames=sum(lengths),
        shortest=min(lengths),
        longest=max(lengths),
    )


def _shown(value: Any) -> str:
    return ", ".join(value) or "none" if isinstance(value, tuple) else str(value)
