"""A user's own data set, with modalities and sizes of its own, from TFRecords to a served champion."""

import json

import numpy as np
import pytest

from mmvid import runs, serving
from mmvid.records.schema import Video, encode_video, load_schema
from mmvid.registry.versions import aliased
from mmvid.tfrecords.framing import write_records
from steps import demo_data, ingest, promote, train

SCHEMA = """
name: lectures
classes: 4
features:
  visual: {size: 6, mean: mean_clip}
  speech: {size: 3, mean: mean_wav, frames: wav}
  slides: {size: 2, mean: mean_slides}
vocabulary_files: [labels.csv]
"""


@pytest.fixture(scope="module")
def lectures(tmp_path_factory):
    """Made lectures: the label is the largest of four features; a third of them has no slides."""
    folder = tmp_path_factory.mktemp("lectures")
    (folder / "schema.yaml").write_text(SCHEMA)
    (folder / "labels.csv").write_text("id,name\n" + "".join(f"{i},subject {i}\n" for i in range(4)))
    schema, rng = load_schema(folder / "schema.yaml"), np.random.default_rng(0)
    for split, count in (("train", 400), ("validate", 120), ("test", 20)):
        payloads = []
        for i in range(count):
            features = {name: rng.normal(size=spec.size).astype(np.float32) for name, spec in schema.features.items()}
            if i % 3 == 0:
                del features["slides"]
            labels = None if split == "test" else np.array([features["visual"][:4].argmax()], np.int32)
            payloads.append(encode_video(schema, Video(f"{split}{i}", labels, features)))
        write_records(folder / f"{split}0000.tfrecord", payloads)
    return folder


def newest(entry: str):
    """The newest finished run of an entry point."""
    return runs.search(f"tags.`mmvid.entry` = '{entry}' and attributes.status = 'FINISHED'")[0]


def test_own_data_are_ingested_trained_promoted_and_served(workplace, lectures, capsys):
    words = ["--data", str(lectures), "--schema", str(lectures / "schema.yaml")]
    ingest.main(words)
    assert "validate 120, test 20" in capsys.readouterr().out
    train.main(["logistic", *words, "--epochs", "30", "--batch_size", "32"])
    run = newest("train_logistic")
    assert run.metrics["validate/hit_at_1"] > 0.8  # by chance: 0.25

    # A champion of made data gives way to one of real data; made data never drive out real ones.
    rules = workplace / "rules.yaml"
    rules.write_text("best: {metric: gap}\n")
    demo_data.main(["--videos", "200"])
    train.main(["moe", "--epochs", "1"])
    demo = newest("train_moe").id
    promote.main(["--run", demo, "--model", "best", "--rules", str(rules)])
    promote.main(["--run", run.id, "--model", "best", "--rules", str(rules)])
    assert aliased("best", "champion") == "2"
    assert "version 1 was trained on made data" in capsys.readouterr().out
    promote.main(["--run", demo, "--model", "best", "--rules", str(rules)])
    assert aliased("best", "champion") == "2"
    assert "stays: it cannot be measured on demo, it was trained on lectures" in capsys.readouterr().out

    service = serving.Service(serving.load_logged("models:/best@champion"))
    record = {"mean_clip": [0, 0, 9, 0, 0, 0], "mean_wav": [0, 0, 1], "options": {"top_k": 1}}
    (answer,) = service.answer([json.loads(json.dumps(record))])
    assert answer["labels"][0]["name"] == "subject 2"
