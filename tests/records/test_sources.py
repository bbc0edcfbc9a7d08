"""Which files `data` stands for, on disk."""

from pathlib import Path

import pytest

from mmvid.records.sources import absolute, find_sources, title_of
from mmvid.storage import check_unchanged
from mmvid.tfrecords.framing import read_records


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def found(folder: Path) -> dict[str, list[str]]:
    return {split: [file.name for file in files.values()] for split, files in find_sources(folder).shards.items()}


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
        find_sources(touch(tmp_path, *names))


def test_no_such_folder(tmp_path):
    sentence = "^data must be `demo`, a store, or a folder, pattern or list of TFRecords; nothing is at .*nowhere$"
    with pytest.raises(ValueError, match=sentence):
        find_sources(tmp_path / "nowhere")


@pytest.fixture
def folder(tmp_path) -> Path:
    names = ["train/a.tfrecord", "train/train1.tfrecord.gz", "validate/b.tfrecord", "text.jsonl", "train/.c.tfrecord"]
    return touch(tmp_path / "yt8m", *names)


EXPECTED = {"train": ["train/a.tfrecord", "train/train1.tfrecord.gz"], "validate": ["validate/b.tfrecord"]}


@pytest.mark.parametrize(
    "data",
    [
        "{0}",
        "{0}/*/*",
        "{0}/train,{0}/validate",
        " {0}/train/*.tfrecord*, {0}/va*/b.tfrecord",
        "{0}/train/a.tfrecord,{0}/train/train?.*,{0}/validate/*",
    ],
)
def test_folders_patterns_files_and_lists_stand_for_the_same(folder, data):
    sources = find_sources(data.format(folder))
    assert {split: list(files) for split, files in sources.shards.items()} == EXPECTED
    assert sources.beside("text.jsonl").place == str(folder / "text.jsonl") and sources.beside("names.csv") is None


def test_places_are_those_of_any_working_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for data in ("train/*,validate", ".", "*/*", "../yt8m/"):
        assert {split: list(files) for split, files in find_sources(data).shards.items()} == EXPECTED
        assert title_of(data) in ("yt8m", "train")
    assert absolute("train/*,s3://bucket/validate/") == f"{folder}/train/*,s3://bucket/validate"


def test_a_folder_with_a_comma_is_no_list(tmp_path):
    folder = touch(tmp_path / "a,b", "train0.tfrecord")
    assert list(find_sources(str(folder)).shards["train"]) == ["train0.tfrecord"]


def test_shards_of_several_folders_keep_apart(tmp_path):
    one, other = (touch(tmp_path / name, "train0.tfrecord", "text.jsonl") for name in ("one", "other"))
    sources = find_sources(f"{one},{other}")
    assert list(sources.shards["train"]) == ["train0.tfrecord", f"{other}/train0.tfrecord"]
    with pytest.raises(ValueError, match="^text.jsonl lies in two places, .*one/text.jsonl and .*other/text.jsonl; "):
        sources.beside("text.jsonl")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("{0},{0}/train", "^data names .*/train/a.tfrecord twice$"),
        ("{0},", "^data must be a place or places with commas between, got "),
        ("{0}/x*", "^data: no file ending in .tfrecord or .tfrecord.gz, and none of rows, fits .*/x[*]$"),
        ("{0}/validate/*", "; found shards of validate only$"),
        ("{0}/train,{0}/nothing", "; nothing is at .*/nothing$"),
        ("s3://B/train", "^an address on S3 must be s3://bucket/key, 'B' is not the name of a bucket$"),
    ],
)
def test_lists_and_patterns_that_are_not_clear(folder, data, sentence):
    with pytest.raises(ValueError, match=sentence):
        find_sources(data.format(folder))


def test_a_name_against_its_folder_is_refused(folder):
    touch(folder, "train/validate7.tfrecord")
    with pytest.raises(ValueError, match="validate7.tfrecord: its name says validate, its folder train; name the data"):
        find_sources(f"{folder}/train/*")


def test_a_local_shard_that_vanishes_is_named(folder):
    shard = find_sources(folder).shards["train"]["train/a.tfrecord"]
    (folder / "train" / "a.tfrecord").unlink()
    for read in (lambda: list(read_records(shard)), lambda: check_unchanged(shard)):
        with pytest.raises(FileNotFoundError, match=f"^{shard}: the file is gone, it was there when the data "):
            read()
