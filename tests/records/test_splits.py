"""Which split a video goes to, and which shards a folder has."""

import hashlib
from pathlib import Path

import pytest

from mmvid.records.splits import PAPER_DEV_SHARE, find_shards, split_of

IDS = [f"video{number}" for number in range(20000)]


def split(id, source="train", has_dev=False, seed=0, share=PAPER_DEV_SHARE):
    return split_of(id, source, has_dev=has_dev, seed=seed, share=share)


def share_of(splits, name):
    return splits.count(name) / len(splits)


def test_a_fifth_of_train_becomes_dev_and_gate_where_there_is_no_dev():
    splits = [split(id) for id in IDS]
    assert share_of(splits, "train") == pytest.approx(0.796, abs=0.01)
    assert share_of(splits, "dev") == pytest.approx(0.102, abs=0.007)
    assert share_of(splits, "gate") == pytest.approx(0.102, abs=0.007)


def test_a_dev_of_the_source_is_halved_and_train_stays_whole():
    assert {split(id, has_dev=True) for id in IDS} == {"train"}
    assert share_of([split(id, "dev", has_dev=True) for id in IDS], "gate") == pytest.approx(0.5, abs=0.01)
    assert {split(id, source) for id in IDS[:50] for source in ("validate", "test")} == {"validate", "test"}


def test_the_seed_moves_the_share_but_never_a_video_between_dev_and_gate():
    one, other = [split(id, seed=1) for id in IDS], [split(id, seed=2) for id in IDS]
    both = [(a, b) for a, b in zip(one, other, strict=True) if a != "train" and b != "train"]
    assert share_of([a == "train" for a in one], True) == pytest.approx(0.796, abs=0.01)
    assert len(both) == pytest.approx(0.204**2 * len(IDS), rel=0.15)  # independent shares
    assert all(a == b for a, b in both)


def test_the_splits_are_pinned():
    """A changed hash would leak: models tuned on yesterday's dev would be judged on today's gate."""
    told = ",".join(split(id) for id in IDS).encode()
    assert hashlib.sha256(told).hexdigest()[:16] == "562ec9d00900206f"
    assert [split(id) for id in ("", "é", "-0SdAVK79lg")] == ["train", "train", "train"]


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def found(folder: Path) -> dict[str, list[str]]:
    return {split: [path.name for path in paths] for split, paths in find_shards(folder).items()}


@pytest.mark.parametrize("validate", ["validate", "val", "valid", "validation"])
def test_shards_in_subfolders(tmp_path, validate):
    touch(tmp_path, "train/b.tfrecord", "train/a.tfrecord.gz", f"{validate}/c.tfrecord", "test/d.tfrecord")
    touch(tmp_path, "train/notes.txt", "train/.a.tfrecord", "dev/readme.md")
    expected = {"train": ["a.tfrecord.gz", "b.tfrecord"], "validate": ["c.tfrecord"], "test": ["d.tfrecord"]}
    assert found(tmp_path) == expected


def test_shards_by_name(tmp_path):
    touch(tmp_path, "train01.tfrecord", "train00.tfrecord", "validate0.tfrecord", "dev.tfrecord", "vocabulary.csv")
    expected = {
        "train": ["train00.tfrecord", "train01.tfrecord"],
        "dev": ["dev.tfrecord"],
        "validate": ["validate0.tfrecord"],
    }
    assert found(tmp_path) == expected


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "^data must have training shards as .*train/ or .*; found no shards$"),
        (["validate/a.tfrecord"], "; found shards of validate only$"),
        (["train/a.tfrecord", "train1.tfrecord"], " has train twice: folder train and file train1.tfrecord$"),
        (
            ["train/a.tfrecord", "val/a.tfrecord", "valid/a.tfrecord"],
            " has validate twice: folder val and folder valid$",
        ),
        (["train/a.tfrecord", "part7.tfrecord"], "part7.tfrecord: the name of a shard must begin with its split "),
    ],
)
def test_folders_that_are_not_clear(tmp_path, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        find_shards(touch(tmp_path, *names))


def test_no_such_folder(tmp_path):
    with pytest.raises(ValueError, match="^data must be a folder of TFRecords, there is none at .*nowhere$"):
        find_shards(tmp_path / "nowhere")
