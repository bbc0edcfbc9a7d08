"""`inspect`: what it prints, what it logs, and a page that needs nothing but itself."""

import html.parser
import re

import mlflow
import numpy as np
import pytest

from mmvid.records.ingest import ingest
from mmvid.records.schema import Schema
from mmvid.tfrecords.encode import encode_example, encode_sequence_example
from mmvid.tfrecords.framing import write_records
from steps import inspect

NASTY = "<script>alert(1)</script> | \x1b[31m `"


@pytest.fixture
def here(job, monkeypatch):
    """The job's tracking store and home; to make one for each test takes longer than all of them."""
    monkeypatch.chdir(job.folder)
    monkeypatch.setenv("MMVID_HOME", str(job.folder / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", job.tracking)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    mlflow.set_tracking_uri(job.tracking)


@pytest.fixture
def data(here, tmp_path):
    """A folder of records of a schema that nobody knows, with hostile words in them."""
    random = np.random.default_rng(0)
    folder = tmp_path / "talks" / "train"
    folder.mkdir(parents=True)
    payloads = [
        encode_example(
            {
                "id": [b"talk %d" % n],
                "labels": [n % 3],
                "speaker": [NASTY.encode()],
                NASTY: [n],
                "clip": random.standard_normal(8, np.float32),
            }
        )
        for n in range(30)
    ]
    write_records(folder / "train0.tfrecord", payloads)
    return folder.parent


def newest():
    return mlflow.MlflowClient().search_runs(["0"], order_by=["attributes.start_time DESC"], max_results=1)[0]


def artifact(name: str) -> str:
    return mlflow.artifacts.load_text(f"runs:/{newest().info.run_id}/{name}")


class Reader(html.parser.HTMLParser):
    """Checks that tags are closed in order, and gathers them and their text."""

    def __init__(self, page: str):
        super().__init__()
        self.open, self.tags, self.text = [], set(), []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        assert not {"src", "href"} & {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_it_prints_a_table_and_logs_a_page(data, tmp_path, capsys):
    page = tmp_path / "page.html"
    inspect.main(["--data", str(data), "--page", str(page)])
    printed = capsys.readouterr().out
    assert "30 records of 1 file" in printed and "broken: none of the records read" in printed
    assert re.search(r"\| clip +\| floats +\| all +\| 8 ", printed)
    assert "ids: `id`, none comes twice" in printed and "id_keys: [id]" in printed
    run = newest()
    assert run.info.status == "FINISHED" and run.data.tags["mmvid.entry"] == "inspect"
    assert (run.data.metrics["records/read"], run.data.metrics["records/broken"]) == (30, 0)
    assert run.data.metrics["records_per_second"] > 0
    assert artifact("survey.html") == page.read_text() and artifact("survey.md").strip() in printed


def test_the_page_needs_nothing_but_itself_and_runs_nothing(data, capsys):
    inspect.main(["--data", str(data)])
    page = artifact("survey.html")
    read = Reader(page)
    assert {"table", "svg", "pre"} <= read.tags and not {"script", "link", "img", "iframe"} & read.tags
    assert "http:" not in page and "https:" not in page and "default-src 'none'" in page
    assert any("<script>" in text for text in read.text), "the record's text is shown, as text"
    printed = capsys.readouterr().out
    assert "\x1b" not in printed + page
    rows = [line for line in printed.splitlines() if line.startswith("|") and "alert" in line]
    assert rows and all(len(re.findall(r"(?<!\\)\|", row)) == 11 for row in rows), "a sign of tables is escaped"


def test_made_data_says_so(here, capsys):
    inspect.main(["--limit", "20"])
    printed = capsys.readouterr().out
    assert "demo data (made): these videos do not exist" in printed and "schema: demo fits (visual, audio)" in printed
    assert "only the first 20 records of each file were looked at" in printed
    assert "next: `mlflow run . -e ingest -P data=" in printed


def test_a_store_is_told_by_splits(data, tmp_path, capsys):
    schema = Schema(name="talks", classes=3, features={"clip": {"size": 8, "mean": "clip"}})
    store = ingest(data, schema, tmp_path / "store", progress=False)
    inspect.main(["--data", str(store.folder)])
    printed = capsys.readouterr().out
    assert "schema: talks, as the store's manifest says" in printed and "features.clip" in printed
    assert f"| train | {store.count('train'):>7} |" in printed
    with pytest.raises(ValueError, match="^schema and vocabulary must not be given for a store, "):
        inspect.main(["--data", str(store.folder), "--schema", "youtube8m"])


def test_broken_records_are_told_and_nothing_is_proposed_to_run(data, capsys):
    path = data / "train" / "train0.tfrecord"
    path.write_bytes(path.read_bytes()[:-1])
    inspect.main(["--data", str(data)])
    printed = capsys.readouterr().out
    assert f"broken: 1 (1 truncated); the first: {path}: record at byte " in printed and "next:" not in printed


def test_frames_have_a_histogram(data, capsys):
    payloads = [
        encode_sequence_example({"id": [b"%d" % n]}, {"rgb": np.zeros((n % 4 + 1, 1024), np.uint8)}) for n in range(8)
    ]
    write_records(data / "train" / "train0.tfrecord", payloads)
    inspect.main(["--data", str(data / "train" / "*")])
    printed = capsys.readouterr().out
    assert re.search(r"\| rgb +\| uint8 frames +\| all +\| 1 to 4 x 1024 ", printed)
    assert re.search(r"\| 4 +\| +2 \| #{24} \|", printed)
    assert "Frames a video" in artifact("survey.html")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["--data", "nowhere"],
            "^data must be a TFRecord file, a folder, a pattern or a store, there is nothing at nowh",
        ),
        (["--schema", "youtube9m"], r"^unknown schema 'youtube9m'; did you mean youtube8m\?"),
        (["--vocabulary", "none.csv"], r"^vocabulary must be auto, none or a file, there is none at none\.csv$"),
    ],
)
def test_a_mistake_is_one_sentence(data, words, sentence):
    with pytest.raises(ValueError, match=sentence):
        inspect.main(words if "--data" in words else ["--data", str(data), *words])
    assert newest().info.status == "FAILED"
