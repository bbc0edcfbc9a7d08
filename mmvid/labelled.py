"""Labelled frames: what a segmenter learns from and is measured on, out of a store of clips that have masks.

A store of labelled pictures gives each picture; one of clips, such as the demo's, gives some frames, drawn from as many
trajectories as there are. The paper (Maier and Mohankumar 2024) labelled 250 frames and trained on four fifths.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Sequence

import numpy as np

from mmvid.clips.folds import folds
from mmvid.clips.manifest import SPLITS
from mmvid.clips.store import ClipStore
from mmvid.clips.writing import SplitBy, pack_masks
from mmvid.draws import Draws

LIMIT = 250
SHARES = (0.64, 0.16, 0.20)  # of train, dev, validate: the paper's four fifths, of which a fifth says when to stop


@dataclasses.dataclass(frozen=True)
class LabelledFrames:
    """N frames with K masks each.

    Attributes:
        ids: unique; the clip's, with `@` and the frame's number where the clip has several.
        frames: uint8 (N, H, W, 3).
        masks: bool (N, K, H, W).
        categories: what the masks show, K names.
        trajectory: the trajectory of each frame.
        splits: the split of each frame: train, dev or validate.
        title: what results on them are headed with: made data must never look like real data.
        made: whether they are made.
    """

    ids: tuple[str, ...]
    frames: np.ndarray
    masks: np.ndarray
    categories: tuple[str, ...]
    trajectory: tuple[str, ...]
    splits: tuple[str, ...]
    title: str
    made: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    @functools.cached_property
    def digest(self) -> str:
        """Equal for equal frames, masks, names and splits in one order."""
        hashed = hashlib.blake2b(digest_size=16)
        for text in (*self.categories, *self.ids, *self.trajectory, *self.splits, str(self.frames.shape)):
            hashed.update(f"{text}\0".encode())
        hashed.update(np.ascontiguousarray(self.frames))
        hashed.update(pack_masks(self.masks))
        return hashed.hexdigest()

    def rows(self, split: str) -> np.ndarray:
        """The rows of a split, int64."""
        if split not in SPLITS:
            raise ValueError(f"split must be among {', '.join(SPLITS)}, got {split!r}")
        return np.flatnonzero(np.array(self.splits) == split)

    def split(self, name: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Frames uint8 (n, H, W, 3), masks bool (n, K, H, W) and ids of a split."""
        part = self.take(self.rows(name))
        return part.frames, part.masks, part.ids

    def take(self, rows: Sequence[int] | np.ndarray) -> "LabelledFrames":
        """Some of the frames, in the given order."""
        listed = np.asarray(rows, np.int64)
        named = {
            name: tuple(getattr(self, name)[row] for row in listed.tolist()) for name in ("ids", "trajectory", "splits")
        }
        return dataclasses.replace(self, frames=self.frames[listed], masks=self.masks[listed], **named)

    def folds(
        self, k: int | None = None, *, by: SplitBy = "trajectory", seed: int = 0
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Rows to train on and rows held out, of each fold; `k` None leaves out one at a time. See `clips.folds`."""
        return folds(self.trajectory, k, by=by, seed=seed)

    def census(self) -> dict[str, dict[str, dict[str, float]]]:
        """Of each split and category the frames, those whose mask is empty, and the mean share of the pixels."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for split in SPLITS:
            masks = self.masks[self.rows(split)]
            if len(masks):
                found[split] = {
                    name: {
                        "frames": len(masks),
                        "empty": int((~masks[:, number].any(axis=(1, 2))).sum()),
                        "share": float(masks[:, number].mean()),
                    }
                    for number, name in enumerate(self.categories)
                }
        return found

    def shared(self) -> int:
        """How many trajectories lie in more than one split; scores on frames of such are flattered."""
        places: dict[str, set[str]] = {}
        for trajectory, split in zip(self.trajectory, self.splits, strict=True):
            places.setdefault(trajectory, set()).add(split)
        return sum(len(each) > 1 for each in places.values())


def open_labelled(
    store: ClipStore,
    categories: Sequence[str] = (),
    *,
    limit: int | None = LIMIT,
    shares: tuple[float, float, float] = SHARES,
    seed: int = 0,
) -> LabelledFrames:
    """The labelled frames of a store.

    Args:
        store: clips with masks.
        categories: whose masks, in this order; none for all that the store has.
        limit: frames at most. Where the store has more, each split gives its share of the limit, or all it has if it
            has fewer, one frame of each trajectory before a second of any. None takes all.
        shares: of train, dev and validate.
        seed: of which frames are taken.

    Raises:
        ValueError: if the store has no masks, or none of a category, or the limit or the shares are out of range.
    """
    if not store.categories:
        raise ValueError(f"{store.folder} must have masks, its clips have none; ingest_masks makes such a store")
    for name in categories:
        if name not in store.categories:
            raise ValueError(f"{store.folder} has no masks of {name!r}, only of {', '.join(store.categories)}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if len(shares) != 3 or min(shares) < 0 or not 0.999 < sum(shares) < 1.001:
        raise ValueError(f"shares must be three numbers that come to 1, got {', '.join(map(str, shares))}")
    wanted = tuple(categories) or store.categories
    channels = [store.categories.index(name) for name in wanted]
    total = sum(entry.frames for split in SPLITS for entry in store.entries(split))
    ids, frames, masks, trajectory, splits = [], [], [], [], []
    for split, share in zip(SPLITS, shares, strict=True):
        few = None if limit is None or total <= limit else round(limit * share)
        for row, frame in _chosen(store, split, few, seed):
            entry = store.entries(split)[row]
            ids.append(entry.id if entry.frames == 1 else f"{entry.id}@{frame}")
            frames.append(np.array(store.frames(split, row)[frame]))
            masks.append(store.masks(split, row, [frame])[0][channels])
            trajectory.append(entry.trajectory)
            splits.append(split)
    return LabelledFrames(
        tuple(ids),
        np.stack(frames),
        np.stack(masks),
        wanted,
        tuple(trajectory),
        tuple(splits),
        store.title,
        store.contents.source.made,
    )


def _chosen(store: ClipStore, split: str, few: int | None, seed: int) -> list[tuple[int, int]]:
    """The clip and the frame of each that is taken, in the store's order."""
    of_trajectory: dict[str, list[tuple[int, int]]] = {}
    for row, entry in enumerate(store.entries(split)):
        of_trajectory.setdefault(entry.trajectory, []).extend((row, frame) for frame in range(entry.frames))
    everything = [each for those in of_trajectory.values() for each in those]
    if few is None or few >= len(everything):
        return sorted(everything)
    draws = Draws(seed, f"labelled frames of {split}")
    names = list(of_trajectory)
    names = [names[place] for place in np.argsort(draws.raw(len(names)), kind="stable")]
    orders = {name: np.argsort(draws.raw(len(of_trajectory[name])), kind="stable") for name in names}
    ranked = [
        (turn, number, of_trajectory[name][place])
        for number, name in enumerate(names)
        for turn, place in enumerate(orders[name])
    ]
    return sorted(each for _, _, each in sorted(ranked)[:few])
