"""Which split a video belongs to, and which shards a folder holds of each.

    train     weights
    dev       early stopping, search
    gate      promotion, blends, thresholds, calibration
    validate  is reported and decides nothing
    test      has no labels

A source has train, dev, validate and test. Its dev is halved into dev and gate; a source without dev gives a
share of its train for both. Every choice is a hash of the id, so it depends on no order and no other video.
"""

import hashlib
from pathlib import Path

SPLITS = ("train", "dev", "gate", "validate", "test")
PAPER_DEV_SHARE = 0.204  # Wang et al. 2017 hold out 1.000 of the 4.905 million training videos

_FOLDERS = {
    "train": ("train",),
    "dev": ("dev",),
    "validate": ("validate", "val", "valid", "validation"),
    "test": ("test",),
}
_ENDINGS = (".tfrecord", ".tfrecord.gz")


def hash64(id: str, salt: str = "") -> int:
    """A 64-bit hash of an id that is the same on every machine; other salts give independent hashes."""
    return int.from_bytes(hashlib.blake2b(f"{salt}\0{id}".encode(), digest_size=8).digest(), "little")


def split_of(id: str, source: str, *, has_dev: bool, seed: int, share: float) -> str:
    """The split of a video.

    Args:
        id: the video's id.
        source: the split that its source has it in: train, dev, validate or test.
        has_dev: whether the source has a dev; if not, a share of train becomes dev and gate.
        seed: which videos of train that share takes. What halves it into dev and gate has no seed.
        share: the share, in (0, 1).
    """
    if source == "train" and not has_dev and _fraction(id, f"dev {seed}") < share:
        source = "dev"
    if source == "dev":
        return "gate" if _fraction(id, "gate") < 0.5 else "dev"
    return source


def find_shards(data: Path) -> dict[str, list[Path]]:
    """The TFRecord files of a data set by source split, each split's in the order of their names.

    They lie in subfolders `train`, `dev`, `validate` (or `val`, `valid`, `validation`) and `test`, or directly
    in the folder under names that begin so, and end in .tfrecord or .tfrecord.gz. Hidden files are passed over.

    Returns:
        Source split -> files, only of splits that have some; train always has.

    Raises:
        ValueError: if the folder is not there, has no shards or none of train, has a split twice, or holds a
            TFRecord file whose name belongs to no split.
    """
    if not data.is_dir():
        raise ValueError(f"data must be a folder of TFRecords, there is none at {data}")
    shards: dict[str, list[Path]] = {}
    places: dict[str, str] = {}
    for split, names in _FOLDERS.items():
        for name in names:
            if found := _records_in(data / name):
                _claim(places, split, f"folder {name}", data)
                shards[split] = found
    loose: dict[str, list[Path]] = {}
    for path in _records_in(data):
        loose.setdefault(_split_named(path), []).append(path)
    for split, found in loose.items():
        _claim(places, split, f"file {found[0].name}", data)
        shards[split] = found
    if "train" not in shards:
        looked = f"{data}/train/ or {data}/train*, ending in {' or '.join(_ENDINGS)}"
        there = f"shards of {', '.join(shards)} only" if shards else "no shards"
        raise ValueError(f"data must have training shards as {looked}; found {there}")
    return {split: shards[split] for split in _FOLDERS if split in shards}


def _fraction(id: str, salt: str) -> float:
    return hash64(id, salt) / 2**64


def _records_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.endswith(_ENDINGS) and not path.name.startswith(".") and path.is_file()
    )


def _split_named(path: Path) -> str:
    for split, names in _FOLDERS.items():
        if path.name.startswith(names):
            return split
    starts = ", ".join(name for names in _FOLDERS.values() for name in names)
    raise ValueError(f"{path}: the name of a shard must begin with its split ({starts})")


def _claim(places: dict[str, str], split: str, place: str, data: Path) -> None:
    if split in places:
        raise ValueError(f"{data} has {split} twice: {places[split]} and {place}")
    places[split] = place
