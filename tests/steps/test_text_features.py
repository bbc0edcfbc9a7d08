"""`text_features` and a mixture of experts that reads them, from rows with titles, keywords and a feature."""

import contextlib
import glob
import json
import os
import random
import signal
import time
from types import SimpleNamespace

import mlflow
import numpy as np
import pyarrow as pa
import pytest
import torch

from mmvid import serving
from mmvid.records.batches import Batch
from mmvid.records.loader import Loader
from mmvid.records.splits import hash64
from mmvid.records.store import Store
from mmvid.records.textset import TextSet
from mmvid.runs import Finished
from mmvid.tfrecords.encode import encode_example
from mmvid.tfrecords.framing import write_records
from steps import build_text, text_features, train

WORDS = ["cat", "dog", "music", "guitar", "car"]
SCHEMA = "name: small\nclasses: 5\nfeatures:\n  audio: {size: 4, mean: mean_audio}\n"
SMALL = ["--text_sizes", "small", "--text_clusters", "4", "--text_folds", "2"]


@pytest.fixture
def data(workplace):
    """Videos whose title or keywords name their label; a third have neither."""
    random = np.random.default_rng(0)
    rows = []
    for split, count in (("train", 160), ("validate", 60)):
        (workplace / "records" / split).mkdir(parents=True)
        examples = []
        for number in range(count):
            label, id = int(random.integers(5)), f"{split}-{number:03d}"
            vector = random.standard_normal(4).astype(np.float32)
            examples.append(encode_example({"id": [id.encode()], "labels": np.array([label]), "mean_audio": vector}))
            if number % 3:
                title = f"The {WORDS[label]} plays a song" if number % 3 == 1 else None
                rows.append({"id": id, "title": title, "keywords": [WORDS[label], "song"], "language": "en"})
        write_records(workplace / "records" / split / f"{split}00.tfrecord", examples)
    (workplace / "records" / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (workplace / "names.csv").write_text("id,name\n" + "".join(f"{i},{word}\n" for i, word in enumerate(WORDS)))
    (workplace / "small.yaml").write_text(SCHEMA)
    return ["--data", "records", "--schema", "small.yaml", "--vocabulary", "names.csv"]


def newest(entry: str):
    return mlflow.MlflowClient().search_runs(
        ["0"], f"tags.`mmvid.entry` = '{entry}'", order_by=["attributes.start_time DESC"], max_results=1
    )[0]


def check_unseen(store: Store) -> None:
    """A video of train has the scores of the one network of two that has not seen it."""
    encoder = text_features.encoder_of(store)
    textset = TextSet.open(glob.glob("data/texts/*")[0])
    setup = text_features.titles_setup(text_features.FeaturesConfig(text_sizes="small"))
    runs = mlflow.MlflowClient().search_runs(["0"], "tags.`mmvid.entry` = 'text_fold'")
    networks = {}
    for run in runs:
        learnt = json.loads(Finished(run).fetch("config.json").read_text())
        networks[learnt["fold"]] = text_features.read_network(Finished(run), setup, store.base, textset)
    assert set(networks) == {0, 1}
    batch = next(iter(Loader(store, "train", 500)))
    tokens = encoder.tokens(*(store.table("train").column(name).to_pylist() for name in ("title", "keywords")))
    folds = [hash64(id, "text fold") % 2 for id in batch.ids]
    assert 40 < sum(folds) < 90
    with torch.inference_mode():
        said = {fold: network(Batch(ids=batch.ids, tokens=tokens)) for fold, network in networks.items()}
    titled = batch.presence["title"]
    wanted = torch.stack([said[fold][row] for row, fold in enumerate(folds)])
    torch.testing.assert_close(batch.features["title"][titled, :-1], wanted[titled], atol=1e-3, rtol=1e-3)
    assert (batch.features["title"][titled, -1] == 1).all()
    assert not batch.features["title"][~titled].any()


def test_segments_of_a_video_lie_in_one_fold():
    ids = [f"video-{number}:{start}" for number in range(40) for start in (0, 5, 10)]
    rated = SimpleNamespace(table=lambda split: pa.table({"id": ids}), schema=SimpleNamespace(segments={}))
    folds = text_features.folds_of(rated, 2).reshape(40, 3)
    assert (folds == folds[:, :1]).all() and 5 < folds[:, 0].sum() < 35


def test_one_fold_leaves_nothing_to_learn_from():
    with pytest.raises(ValueError, match="text_folds must be 0 or at least 2, got 1"):
        text_features.FeaturesConfig(text_folds=1)


def test_activations_are_the_papers_feature_and_in_sample(data):
    train.main(["moe", "--modalities", "title", "--epochs", "1", *SMALL[:-1], "0", *data])
    store = Store.open(newest("text_features").data.tags["mmvid.data.store"])
    assert store.shapes.features["title"] == 512
    batch = next(iter(Loader(store, "train", 500)))
    assert (batch.features["title"] >= 0).all() and batch.features["title"].any()
    # What reads nothing but text learns from the videos that have some, and is scored on those apart.
    metrics = newest("train_moe").data.metrics
    assert metrics["train/videos"] == store.has_feature("train", "title").sum() == batch.presence["title"].sum()
    assert metrics["validate/with_known_word/videos"] == 20 and metrics["validate/without_known_word/videos"] == 40
    assert 0 < metrics["validate/with_known_word/gap"] <= 1


def test_a_mixture_of_experts_reads_text_that_is_made_on_the_way(data, capsys):
    modalities = ["--modalities", "audio,keywords,title", "--epochs", "2"]
    train.main(["moe", *modalities, *SMALL, *data])
    capsys.readouterr()
    made, trained = newest("text_features"), newest("train_moe")
    store = Store.open(made.data.tags["mmvid.data.store"])
    store.verify()
    assert store.shapes.features == {"audio": 4, "keywords": 4, "title": 6}
    assert trained.data.tags["mmvid.input.data"] == store.digest
    metrics = trained.data.metrics
    assert metrics["validate/with_text/videos"] == 40
    assert metrics["train/commonest_label"] == store.label_counts("train").argmax()
    assert 0 < metrics["validate/without_commonest/with_text/gap"] <= 1

    # What the encoder of the trained model makes of the raw text is what training read.
    package = serving.load_logged(trained.data.tags["mmvid.model"])
    batch = next(iter(Loader(store, "validate", 60)))
    table = store.table("validate").to_pydict()
    tokens = package.encoder.tokens(table["title"], table["keywords"])
    for name, values in package.encoder.features(tokens).items():
        torch.testing.assert_close(batch.features[name], values, atol=1e-3, rtol=1e-3)
        assert batch.presence[name].equal(package.encoder.present(tokens)[name])
        assert not batch.features[name][~batch.presence[name]].any()
    assert batch.presence["title"].sum() == 20 and batch.presence["keywords"].sum() == 40
    assert batch.features["keywords"].sum(dim=1).tolist() == [
        2.0 if keywords else 0.0 for keywords in table["keywords"]
    ]

    check_unseen(store)

    text_features.main([*SMALL, *data])
    assert "text_features: run " in capsys.readouterr().err  # found
    train.main(["moe", "--data", str(store.folder), "--epochs", "2", "--modalities", "audio,keywords,title"])
    assert newest("train_moe").info.run_id == trained.info.run_id


def test_keywords_without_titles_need_no_network_of_titles(data, workplace):
    text = workplace / "records" / "text.jsonl"
    rows = [json.loads(line) | {"title": None} for line in text.read_text().splitlines()]
    text.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train.main(["moe", "--modalities", "audio,keywords", "--epochs", "1", *SMALL, *data])
    store = Store.open(newest("text_features").data.tags["mmvid.data.store"])
    assert store.shapes.features == {"audio": 4, "keywords": 4}
    assert not mlflow.MlflowClient().search_runs(["0"], "tags.`mmvid.entry` = 'train_textcnn'")
    package = serving.load_logged(newest("train_moe").data.tags["mmvid.model"])
    assert serving.text_keys(package) == ["keywords"]
    tokens = package.encoder.tokens([None], [["guitar", "song"]])
    assert package.encoder.features(tokens)["keywords"].sum() == 2
    with pytest.raises(ValueError, match="^modalities must be among audio, keywords, got 'title'"):
        train.main(["moe", "--modalities", "audio,title", "--epochs", "1", *SMALL, *data])


STEPS = {
    "build_text": (build_text.main, []),
    "text_features": (text_features.main, SMALL),
    "train_unigram": (train.main, ["unigram", "--text_fields", "title,keywords"]),
    "train_keywords": (train.main, ["keywords", "--preset", "compact", "--clusters", "4", "--epochs", "8"]),
    "train_textcnn": (
        train.main,
        ["textcnn", "--widths", "1,2,3", "--filters", "64", "--hidden", "64", "--epochs", "8"],
    ),
}


@pytest.mark.kills
@pytest.mark.parametrize("entry", STEPS)
def test_a_text_step_that_is_killed_goes_on_to_the_same_end(entry, data, workplace):
    main, words = STEPS[entry]

    def start(place: str) -> int:
        """The step in a process of its own, with runs and files of its own; it leaves what it came to in a file."""
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                os.environ["MMVID_HOME"] = str(workplace / place)
                mlflow.set_tracking_uri(f"sqlite:///{workplace}/{place}.db")
                main([*words, *data])
                run = newest(entry).data
                told = {
                    name: value for name, value in run.metrics.items() if not name.startswith(("seconds/", "system/"))
                }
                digests = {name: run.tags.get(name) for name in ("mmvid.text.digest", "mmvid.data.digest")}
                (workplace / f"{place}.json").write_text(json.dumps([told, digests], sort_keys=True))
                code = 0
            os._exit(code)
        return child

    began = time.monotonic()
    assert os.waitpid(start("whole"), 0)[1] == 0
    whole, draw, killed = time.monotonic() - began, random.Random(0), 0
    for _ in range(3):
        child = start("killed")
        time.sleep(draw.uniform(0.1, 0.7) * whole)
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert killed, "the step was always done before it could be killed"
    assert os.waitpid(start("killed"), 0)[1] == 0
    assert (workplace / "killed.json").read_text() == (workplace / "whole.json").read_text()
