"""An ingest of clips: found again, resumed, told what is wrong; nothing is left out in silence."""

import struct

import numpy as np
import pytest

from mmvid.clips import ingest as module
from mmvid.clips.ingest import fingerprint, ingest
from mmvid.clips.sources import find_clips
from mmvid.clips.store import ClipStore
from mmvid.clips.writing import write_shard

QUIET = {"progress": False}


def record_starts(path) -> list[int]:
    """Where the records of a TFRecord file begin."""
    data, offset, found = path.read_bytes(), 0, []
    while offset < len(data):
        found.append(offset)
        offset += struct.unpack_from("<Q", data, offset)[0] + 16
    return found


def damage(path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)


def test_the_same_input_is_found_and_makes_the_same_bytes(writer, tmp_path):
    data = str(writer.bair({"train": [6], "test": [2]}))
    one = ingest(data, tmp_path / "one", **QUIET)
    times = {path.name: path.stat().st_mtime_ns for path in one.folder.iterdir()}
    assert ingest(data, tmp_path / "one", **QUIET).digest == one.digest
    assert {path.name: path.stat().st_mtime_ns for path in one.folder.iterdir()} == times | {
        ".lock": (one.folder / ".lock").stat().st_mtime_ns
    }
    other = ingest(data, tmp_path / "other", **QUIET)
    assert other.digest == one.digest and other.manifest == one.manifest
    one.verify()
    seeded = ingest(data, tmp_path / "other", seed=1, **QUIET)
    trajectories = [[entry.id for entry in store.entries("dev")] for store in (one, seeded)]
    assert trajectories[0] != trajectories[1] and seeded.count("dev") == one.count("dev") == 1


def test_a_fingerprint_follows_from_the_files(writer):
    data = writer.bair({"train": [2]})
    before = fingerprint(str(data))
    assert fingerprint(str(data), "bair") == before
    (data / "train" / "traj_0_to_1.tfrecords").write_bytes(b"")
    assert fingerprint(str(data)) != before


def test_a_damaged_record_stops_with_its_file_and_byte_or_is_counted(writer, tmp_path):
    data = writer.bair({"train": [4, 3]})
    path = data / "train" / "traj_0_to_3.tfrecords"
    start = record_starts(path)[2]
    damage(path, start + 500)
    with pytest.raises(ValueError, match=f"^{path}: record at byte {start}: payload checksum is .{{8}}, its trailer"):
        ingest(str(data), tmp_path / "store", **QUIET)
    with pytest.raises(ValueError, match="is not a store of clips: it has no manifest.json"):
        ClipStore.open(tmp_path / "store")
    store = ingest(str(data), tmp_path / "store", on_error="skip", dev_share=0, validate_share=0, **QUIET)
    ids = [entry.id for entry in store.entries("train")]
    assert ids[:3] == [f"train/traj_0_to_3#{row}" for row in (0, 1, 3)] and len(ids) == 6
    skipped = store.contents.skipped
    assert (skipped.count, skipped.reasons) == (1, {"payload checksum": 1})
    assert (skipped.clips[0].file, f"byte {start}" in skipped.clips[0].what) == (str(path), True)


def test_a_truncated_file_keeps_what_comes_before(writer, tmp_path):
    data = writer.bair({"train": [4]})
    path = data / "train" / "traj_0_to_3.tfrecords"
    start = record_starts(path)[3]
    path.write_bytes(path.read_bytes()[: start + 100])
    with pytest.raises(ValueError, match=f"^{path}: record at byte {start}: the file ends early"):
        ingest(str(data), tmp_path / "store", **QUIET)
    store = ingest(str(data), tmp_path / "store", on_error="skip", dev_share=0, validate_share=0, **QUIET)
    assert store.count("train") == 3 and store.contents.skipped.reasons == {"truncated": 1}


def test_clips_unlike_the_first_are_told(writer, tmp_path, frames):
    np.savez(writer.folder / "a.npz", one=frames(0), two=frames(1, height=16), three=frames(2))
    with pytest.raises(ValueError, match=r"a.npz: clip train/a/two: height must be 8 as in the first clip, got 16$"):
        ingest(str(writer.folder), tmp_path / "store", **QUIET)
    store = ingest(str(writer.folder), tmp_path / "store", on_error="skip", **QUIET)
    assert sum(map(store.count, store.splits)) == 2 and store.contents.skipped.reasons == {"layout": 1}


@pytest.mark.parametrize("name", ["a.hdf5", "a.npz", "a.mp4", "a/b.png"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 400, b"PK\x03\x04 not really"])
def test_files_that_are_not_what_their_name_says(writer, tmp_path, name, content):
    path = writer.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path}: (not a readable|the video has no frames)"):
        ingest(str(writer.folder), tmp_path / "store", **QUIET)


def test_truncated_video_and_npz(writer, tmp_path, frames):
    np.savez(writer.folder / "a.npz", one=frames(0, 30))
    (writer.folder / "a.npz").write_bytes((writer.folder / "a.npz").read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"a.npz: not a readable .npz of clips: "):
        ingest(str(writer.folder / "a.npz"), tmp_path / "store", **QUIET)
    path = writer.video("b.mp4", frames=20)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ValueError, match=r"b.mp4: not a readable video: "):
        ingest(str(path), tmp_path / "store", **QUIET)


def test_hdf5_with_a_wrong_index(writer, tmp_path, frames):
    path = writer.hdf5("a.hdf5", {"train_data": frames(0, 9), "train_idx": np.array([0, 5, 20])})
    with pytest.raises(ValueError, match=r"a.hdf5: clip 1 of train: train_idx must rise and stay below 9"):
        ingest(str(path), tmp_path / "store", **QUIET)
    writer.hdf5("a.hdf5", {"pixels": frames(0)})
    with pytest.raises(ValueError, match="it must hold `frames`, or `train_data` and `train_idx`, it holds pixels$"):
        ingest(str(path), tmp_path / "store", **QUIET)


def test_records_of_another_data_set_are_told(writer, tmp_path):
    from mmvid.tfrecords.encode import encode_example
    from mmvid.tfrecords.framing import write_records

    write_records(writer.folder / "video.tfrecord", [encode_example({"id": [b"x"], "labels": [3]})])
    with pytest.raises(ValueError, match="record at byte 0: it has no feature 0/image_aux1/encoded or 0/image_main"):
        ingest(str(writer.folder), tmp_path / "store", **QUIET)


def test_an_interrupted_ingest_goes_on_where_it_stopped(writer, tmp_path, monkeypatch):
    data = str(writer.bair({"train": [2, 2, 2, 2]}))
    monkeypatch.setattr(module, "_SHARD_PIECES", 1)
    expected = ingest(data, tmp_path / "undisturbed", **QUIET)
    written: list[int] = []

    def failing(folder, number, *rest):
        written.append(number)
        if len(written) == 3:
            raise OSError("no space left on device")
        return write_shard(folder, number, *rest)

    monkeypatch.setattr(module, "write_shard", failing)
    with pytest.raises(OSError, match="^no space left on device$"):
        ingest(data, tmp_path / "store", **QUIET)
    store = ingest(data, tmp_path / "store", **QUIET)
    assert written == [0, 1, 2, 2, 3]
    assert store.manifest == expected.manifest
    assert {path.name for path in store.folder.iterdir()} == {path.name for path in expected.folder.iterdir()}
    store.verify()


def test_a_folder_that_is_no_store_is_left_alone(writer, tmp_path):
    data = str(writer.bair({"train": [1]}))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(ValueError, match="must be empty or a store, .* holds 'thesis.txt' and no manifest.json"):
        ingest(data, tmp_path / "mine", **QUIET)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_changed_byte_is_found(writer, tmp_path):
    store = ingest(str(writer.bair({"train": [2]})), tmp_path / "store", **QUIET)
    damage(store.folder / "00000.frames", 7)
    with pytest.raises(ValueError, match="00000.frames: the digest is .*, the manifest says"):
        store.verify()
    (store.folder / "00000.frames").write_bytes(b"")
    with pytest.raises(ValueError, match="00000.frames: the store's file must have 1920 bytes, it has 0"):
        ClipStore.open(store.folder)


def test_places_without_clips_and_of_several_kinds(writer, tmp_path, frames):
    with pytest.raises(
        ValueError, match="^clips must be `demo`, a store, or a folder or file of clips; nothing is at "
    ):
        find_clips(str(tmp_path / "absent"))
    (writer.folder / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="must hold clips as files ending in .*.tfrecord.*; there are none$"):
        find_clips(str(writer.folder))
    writer.bair({"train": [1]})
    np.savez(writer.folder / "a.npz", frames(0))
    with pytest.raises(ValueError, match=r"holds files of several kinds, bair \(1\), npz \(1\); say which with kind$"):
        find_clips(str(writer.folder))
    with pytest.raises(ValueError, match="^unknown kind 'zip'|^kind must be"):
        find_clips(str(writer.folder), "zip")


def test_splits_of_folders_and_names(writer):
    for name in ("train/a.npz", "valid/b.npz", "test/c.npz"):
        (writer.folder / name).parent.mkdir(exist_ok=True)
        np.savez(writer.folder / name, np.zeros((2, 4, 4, 3), np.uint8))
    _, located = find_clips(str(writer.folder))
    assert {each.file.name: each.split for each in located} == {"a.npz": "train", "b.npz": "dev", "c.npz": "validate"}
    _, (only,) = find_clips(str(writer.folder / "test"))
    assert only.split == "validate"
    np.savez(writer.folder / "stray.npz", np.zeros((2, 4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="stray.npz lies in no split's folder, other files of .* do$"):
        find_clips(str(writer.folder))
