"""`text_features` and a mixture of experts that reads them, from rows with titles, keywords and a feature."""

import json

import mlflow
import numpy as np
import pytest
import torch

from mmvid import serving
from mmvid.records.loader import Loader
from mmvid.records.store import Store
from mmvid.tfrecords.encode import encode_example
from mmvid.tfrecords.framing import write_records
from steps import text_features, train

WORDS = ["cat", "dog", "music", "guitar", "car"]
SCHEMA = "name: small\nclasses: 5\nfeatures:\n  audio: {size: 4, mean: mean_audio}\n"
SMALL = ["--text_sizes", "small", "--text_clusters", "4"]


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


def test_a_mixture_of_experts_reads_text_that_is_made_on_the_way(data, capsys):
    modalities = ["--modalities", "audio,keywords,title", "--epochs", "2"]
    train.main(["moe", *modalities, *SMALL, *data])
    capsys.readouterr()
    made, trained = newest("text_features"), newest("train_moe")
    store = Store.open(made.data.tags["mmvid.data.store"])
    store.verify()
    assert store.shapes.features == {"audio": 4, "keywords": 4, "title": 512}
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

    text_features.main([*SMALL, *data])
    assert "text_features: run " in capsys.readouterr().err  # found
    train.main(["moe", "--data", str(store.folder), "--epochs", "2", "--modalities", "audio,keywords,title"])
    assert newest("train_moe").info.run_id == trained.info.run_id
