"""Clips become a store."""

import os
from collections.abc import Iterable
from pathlib import Path

from mmvid.clips.clip import Clip
from mmvid.clips.manifest import NAME, Source, write_manifest
from mmvid.clips.store import ClipStore
from mmvid.clips.writing import write_shard, write_table

DEV_SHARE = VALIDATE_SHARE = 0.1


def write_clips(
    folder: str | os.PathLike,
    clips: Iterable[Clip],
    *,
    name: str = "clips",
    dev_share: float = DEV_SHARE,
    validate_share: float = VALIDATE_SHARE,
    seed: int = 0,
) -> ClipStore:
    """A store of clips that a program has at hand.

    Args:
        folder: where the store goes; a store that is there is replaced.
        clips: the clips, all of one layout.
        name: what the store is called.
        dev_share, validate_share: shares of train's trajectories that become dev and validate where there are none.
        seed: which ones.

    Raises:
        ValueError: if there is no clip, or one is unlike the first.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).unlink(missing_ok=True)
    waiting = iter(clips)
    first = next(waiting, None)
    if first is None:
        raise ValueError("there must be at least one clip to store")
    shard = write_shard(folder, 0, first.layout, _after(first, waiting))
    source = Source(folder=str(folder), kind=name)
    shares = {"dev_share": dev_share, "validate_share": validate_share}
    write_manifest(folder, write_table(folder, first.layout, [shard], source, seed=seed, **shares))
    return ClipStore.open(folder)


def _after(first: Clip, rest: Iterable[Clip]) -> Iterable[Clip]:
    yield first
    yield from rest
