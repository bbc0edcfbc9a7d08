"""Every published format gives back the frames, actions, splits and classes that were written into it."""

import zipfile

import av
import h5py
import numpy as np
import pytest
from PIL import Image

from mmvid.clips.ingest import ingest
from mmvid.clips.sources import ReadOptions
from mmvid.tfrecords.encode import encode_example
from mmvid.tfrecords.framing import write_records

WHOLE = {"dev_share": 0.0, "validate_share": 0.0, "progress": False}


def ids(store, split: str) -> list[str]:
    return [entry.id for entry in store.entries(split)]


@pytest.mark.parametrize("camera, shift", [("auto", 1000), ("aux1", 1000), ("main", 0)])
def test_bair(writer, tmp_path, frames, numbers, camera, shift):
    data = writer.bair({"train": [3, 2], "test": [2]})
    store = ingest(str(data), tmp_path / "store", options=ReadOptions(camera=camera), **WHOLE)
    assert store.splits == ["train", "validate"] and (store.height, store.width) == (8, 8)
    assert ids(store, "train")[:4] == [*(f"train/traj_0_to_2#{row}" for row in range(3)), "train/traj_3_to_4#0"]
    for seed, (split, row) in enumerate([*(("train", row) for row in range(5)), ("validate", 0), ("validate", 1)]):
        np.testing.assert_array_equal(store.frames(split, row), frames(seed + shift))
        np.testing.assert_array_equal(store.actions(split, row), numbers(seed, 5, 4))
        np.testing.assert_array_equal(store.positions(split, row), numbers(seed + 1, 5, 3))
    assert {entry.camera for entry in store.entries("train")} == {"main" if camera == "main" else "aux1"}
    assert store.masks("train", 0) is None and store.categories == ()


def test_both_cameras_of_a_trajectory_lie_in_one_split(writer, tmp_path, frames):
    data = writer.bair({"train": [12]})
    options = ReadOptions(camera="both")
    store = ingest(str(data), tmp_path / "s", options=options, dev_share=0.25, validate_share=0.25, progress=False)
    assert [store.count(split) for split in ("train", "dev", "validate")] == [12, 6, 6]
    found = {split: {entry.trajectory for entry in store.entries(split)} for split in store.splits}
    assert sum(map(len, found.values())) == 12 == len(set.union(*found.values()))
    assert store.profile()["trajectories"] == {"train": 6, "dev": 3, "validate": 3}
    for row, entry in enumerate(store.entries("dev")):
        seed = int(entry.trajectory.split("#")[1]) + 1000 * (entry.camera == "aux1")
        np.testing.assert_array_equal(store.frames("dev", row), frames(seed))


def test_a_dataset_with_one_camera_is_read_as_it_is(writer, tmp_path, frames):
    data = writer.bair({"train": [2]}, cameras=("main",))
    store = ingest(str(data), tmp_path / "store", **WHOLE)
    np.testing.assert_array_equal(store.frames("train", 1), frames(1))
    with pytest.raises(ValueError, match=r"record at byte 0: it has no camera aux1, only main$"):
        ingest(str(data), tmp_path / "other", options=ReadOptions(camera="aux1"), **WHOLE)


def test_masks_in_the_records_are_those_of_their_camera(writer, tmp_path, frames):
    side, steps = 6, 3
    robot, block = (np.random.default_rng(seed).random((steps, side, side)) < 0.5 for seed in (1, 2))
    features = {}
    for step in range(steps):
        features[f"{step}/image_aux1/encoded"] = [frames(0, steps, side, side)[step].tobytes()]
        for name, masks in (("robot", robot), ("block", block)):
            features[f"{step}/image_aux1/mask/{name}"] = [np.packbits(masks[step]).tobytes()]
    write_records(writer.folder / "a.tfrecord", [encode_example(features)])
    store = ingest(str(writer.folder), tmp_path / "store", **WHOLE)
    found = dict(zip(store.categories, store.masks("train", 0).swapaxes(0, 1), strict=True))
    np.testing.assert_array_equal(found["robot"], robot)
    np.testing.assert_array_equal(found["block"], block)


def test_hdf5_in_one_file(writer, tmp_path, frames, numbers):
    clips, test = [frames(0, 4), frames(1, 6), frames(2, 3)], frames(9, 5)
    arrays = {"train_data": np.concatenate(clips), "train_idx": np.array([0, 4, 10]), "test_data": test}
    arrays |= {"test_idx": np.array([0]), "train_actions": numbers(0, 13, 4), "test_actions": numbers(1, 5, 4)}
    store = ingest(str(writer.hdf5("bair.hdf5", arrays)), tmp_path / "store", **WHOLE)
    for row, clip in enumerate(clips):
        np.testing.assert_array_equal(store.frames("train", row), clip)
    np.testing.assert_array_equal(store.frames("validate", 0), test)
    np.testing.assert_array_equal(store.actions("train", 1), numbers(0, 13, 4)[4:10])
    assert ids(store, "train")[2] == "train/bair#2" and ids(store, "validate") == ["validate/bair#0"]


def test_hdf5_in_two_files(writer, tmp_path, frames, numbers):
    train, test = (np.stack([frames(seed) for seed in seeds]) for seeds in (range(4), range(4, 6)))
    for name, clips in (("bair_pushing.hdf5", train), ("bair_pushing_test.hdf5", test)):
        actions = np.stack([numbers(row, 5, 4) for row in range(len(clips))])
        writer.hdf5(name, {"frames": clips.transpose(0, 4, 1, 2, 3), "actions": actions})
    store = ingest(str(writer.folder), tmp_path / "store", **WHOLE)
    assert (store.count("train"), store.count("validate")) == (4, 2)
    np.testing.assert_array_equal(np.stack([store.frames("train", row) for row in range(4)]), train)
    np.testing.assert_array_equal(store.frames("validate", 1), test[1])
    np.testing.assert_array_equal(store.actions("train", 3), numbers(3, 5, 4))


@pytest.mark.parametrize(
    "arrays, sentence",
    [
        ({"train_actions": np.zeros(6)}, r"train_actions must be numbers \(6, A\), got float64 \(6,\)"),
        ({"train_idx": np.array(0)}, r"train_idx must be numbers \(N\), got int64 \(\)"),
        ({"train_data": None}, r"train_data must be numbers \(F, H, W, 3\), got a group"),
        ({"train_idx": np.zeros(0, np.int64)}, "must hold at least one clip"),
        ({"frames": np.zeros((2, 3, 5, 4, 4), np.uint8), "actions": np.zeros((2, 5))}, r"must be numbers \(2, 5, A\)"),
        ({"frames": None}, r"frames must be numbers \(N, 3, T, H, W\), got a group"),
    ],
)
def test_arrays_of_other_shapes_in_hdf5(writer, tmp_path, frames, arrays, sentence):
    whole = {"train_data": frames(0, 6), "train_idx": np.array([0, 3])} | arrays
    place = writer.hdf5("bad.hdf5", {name: value for name, value in whole.items() if value is not None})
    with h5py.File(place, "a") as file:
        for name in [name for name, value in whole.items() if value is None]:
            file.create_group(name)
    with pytest.raises(ValueError, match=sentence):
        ingest(str(place), tmp_path / "store", **WHOLE)
    assert not (tmp_path / "store").exists()


def test_a_single_file_of_a_test_split(writer, tmp_path, frames):
    clips = np.stack([frames(seed) for seed in range(2)]).transpose(0, 4, 1, 2, 3)
    store = ingest(str(writer.hdf5("bair_pushing_test.hdf5", {"frames": clips})), tmp_path / "store", **WHOLE)
    assert store.splits == ["validate"] and store.count("validate") == 2


def test_the_first_clip_is_left_out_like_any_other(writer, tmp_path, frames):
    for split, clips in (("train", frames(0, 6) / 255.0), ("test", frames(1, 6))):
        writer.hdf5(f"{split}.hdf5", {f"{split}_data": clips, f"{split}_idx": np.array([0])})
    place = str(writer.folder)
    with pytest.raises(ValueError, match=r"^.*train.hdf5: clip train/train#0: frames must be uint8 .* got float64"):
        ingest(place, tmp_path / "store", **WHOLE)
    store = ingest(place, tmp_path / "store", on_error="skip", **WHOLE)
    assert store.splits == ["validate"] and store.contents.skipped.reasons == {"layout": 1}


def test_episodes_in_npz(writer, tmp_path, frames, numbers):
    for seed in range(3):
        arrays = {"image": frames(seed), "aux1_image": frames(seed + 1000), "action": numbers(seed, 5, 4)}
        np.savez(writer.folder / f"traj_{seed:05d}.npz", **arrays)
    store = ingest(str(writer.folder), tmp_path / "store", options=ReadOptions(camera="both"), **WHOLE)
    assert ids(store, "train")[:2] == ["train/traj_00000/main", "train/traj_00000/aux1"]
    np.testing.assert_array_equal(store.frames("train", 5), frames(1002))
    assert store.actions("train", 4).dtype == np.float32
    np.testing.assert_array_equal(store.actions("train", 4), numbers(2, 5, 4))


def test_an_npz_of_several_clips(writer, tmp_path, frames):
    np.savez_compressed(writer.folder / "clips.npz", a=frames(0), b=frames(1, 7))
    store = ingest(str(writer.folder / "clips.npz"), tmp_path / "store", **WHOLE)
    assert [(entry.trajectory, entry.frames) for entry in store.entries("train")] == [
        ("train/clips/a", 5),
        ("train/clips/b", 7),
    ]


def test_python_objects_in_an_npz_are_refused(writer, tmp_path):
    np.savez(writer.folder / "evil.npz", image=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"evil.npz: not a readable .npz of clips: Object arrays cannot be loaded"):
        ingest(str(writer.folder), tmp_path / "store", **WHOLE)


@pytest.mark.parametrize("name, sentence", [("huge", "Unable to allocate"), ("bytes", "must be an array")])
def test_an_npz_whose_member_is_no_array(writer, tmp_path, name, sentence):
    shape = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 64, 64, 3), }".ljust(117) + b"\n"
    content = {"huge": b"\x93NUMPY\x01\x00v\x00" + shape, "bytes": b"no array"}
    with zipfile.ZipFile(writer.folder / "bad.npz", "w") as archive:
        archive.writestr("image.npy", content[name])
    with pytest.raises(ValueError, match=rf"bad.npz: not a readable .npz of clips: .*{sentence}"):
        ingest(str(writer.folder), tmp_path / "store", **WHOLE)


def test_a_video_that_ends_early_is_told(writer, tmp_path):
    path = writer.folder / "long.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for noise in np.random.default_rng(0).integers(0, 255, (10, 64, 64, 3), np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    with pytest.raises(ValueError, match=r"long.avi: not a readable video: frame \d+ is damaged"):
        ingest(str(writer.folder), tmp_path / "store", **WHOLE)


def test_videos_with_classes(writer, tmp_path):
    for name in ("train/Basketball/a.mp4", "train/Diving/b.mp4", "test/Diving/c.mp4"):
        writer.video(name, frames=12)
    store = ingest(str(writer.folder), tmp_path / "store", options=ReadOptions(clip_resolution=8), **WHOLE)
    assert store.classes == ("Basketball", "Diving") and (store.height, store.width) == (8, 8)
    assert [(entry.id, entry.label) for entry in store.entries("validate")] == [("validate/Diving/c.mp4", "Diving")]
    grey = store.frames("train", 0).mean((1, 2, 3))
    np.testing.assert_allclose(grey, 8 * np.arange(12), atol=3)


def test_a_long_video_is_cut_and_its_frames_are_taken_at_a_rate(writer, tmp_path):
    writer.video("long.mp4", frames=25, rate=10)
    store = ingest(str(writer.folder), tmp_path / "cut", options=ReadOptions(clip_frames=10), **WHOLE)
    assert [(entry.id, entry.frames) for entry in store.entries("train")] == [
        ("train/long.mp4@0", 10),
        ("train/long.mp4@1", 10),
        ("train/long.mp4@2", 5),
    ]
    assert {entry.trajectory for entry in store.entries("train")} == {"train/long.mp4"}
    half = ingest(str(writer.folder), tmp_path / "half", options=ReadOptions(frame_rate=5), **WHOLE)
    np.testing.assert_allclose(half.frames("train", 0).mean((1, 2, 3)), 16 * np.arange(13), atol=3)
    double = ingest(str(writer.folder), tmp_path / "double", options=ReadOptions(frame_rate=20), **WHOLE)
    np.testing.assert_allclose(double.frames("train", 0).mean((1, 2, 3)), 8 * (np.arange(50) // 2), atol=3)


def test_pictures_are_ordered_by_the_numbers_in_their_names(writer, tmp_path, frames):
    clip = frames(3, steps=12)
    writer.pictures("scene", clip)
    writer.pictures("other", frames(4))
    store = ingest(str(writer.folder), tmp_path / "store", **WHOLE)
    by_id = {entry.id: store.frames("train", row) for row, entry in enumerate(store.entries("train"))}
    np.testing.assert_array_equal(by_id["train/scene"], clip)
    np.testing.assert_array_equal(by_id["train/other"], frames(4))


def test_pictures_of_any_size_are_cut_to_their_centre(writer, tmp_path):
    frames = np.zeros((2, 12, 24, 3), np.uint8)
    frames[:, :, 6:18] = 200
    writer.pictures("wide", frames)
    store = ingest(str(writer.folder), tmp_path / "store", options=ReadOptions(clip_resolution=6), **WHOLE)
    assert store.frames("train", 0).shape == (2, 6, 6, 3) and (store.frames("train", 0)[:, :, 1:-1] == 200).all()


def test_pictures_of_16_bits_keep_their_brightness(writer, tmp_path):
    for name, kind in (("a", np.uint16), ("b", np.int32)):
        (writer.folder / name).mkdir()
        Image.fromarray(np.full((8, 8), 40_000, kind)).save(writer.folder / name / "0.tif")
    store = ingest(str(writer.folder / "a"), tmp_path / "store", **WHOLE)
    assert (store.frames("train", 0) == 40_000 >> 8).all()
    with pytest.raises(ValueError, match="its pixels must have 8 or 16 bits a channel"):
        ingest(str(writer.folder), tmp_path / "other", **WHOLE)


def test_real_clips(shared, tmp_path):
    store = ingest(str(shared / "data" / "bair" / "clips.npz"), tmp_path / "store", progress=False)
    assert sum(store.count(split) for split in store.splits) == 18
    with np.load(shared / "data" / "bair" / "clips.npz") as arrays:
        for split in store.splits:
            for row, entry in enumerate(store.entries(split)):
                np.testing.assert_array_equal(store.frames(split, row), arrays[entry.id.rpartition("/")[2]])
    assert store.profile()["pixels"] == [64, 64] and store.contents.skipped.count == 0


@pytest.mark.parametrize("camera, name", [("main", "image"), ("aux1", "aux1_image")])
def test_a_real_episode(shared, tmp_path, camera, name):
    place = shared / "data" / "bair" / "episode.npz"
    store = ingest(str(place), tmp_path / "store", options=ReadOptions(camera=camera), progress=False)
    with np.load(place) as arrays:
        np.testing.assert_array_equal(store.frames("train", 0), arrays[name])
        np.testing.assert_allclose(store.actions("train", 0), arrays["action"], rtol=1e-6)


def test_a_real_picture_folder(shared, tmp_path):
    """The frames of the second paper's own labels: one picture each, from two splits of Roboflow's names."""
    store = ingest(str(shared / "data" / "bair" / "masks"), tmp_path / "store", kind="images", **WHOLE)
    assert sum(entry.frames for split in store.splits for entry in store.entries(split)) == 11
    first = sorted((shared / "data" / "bair" / "masks" / "train").glob("*.jpg"))
    shown = {np.asarray(Image.open(path).convert("RGB")).tobytes() for path in first}
    kept = {frame.tobytes() for frame in store.frames("train", 0)}
    assert kept == shown
