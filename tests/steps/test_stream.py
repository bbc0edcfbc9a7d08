"""Training with the features of train left in their TFRecords, by the command: what is logged stays true."""

import mlflow
import pytest

from mmvid.records.demo import DemoConfig, make_demo
from mmvid.records.store import Store
from steps import ingest, inspect, train

OPTIONS = ["--epochs", "2", "--projection", "32", "--hidden", "16", "--schema", "demo", "--patience", "0"]


def runs(entry: str) -> list:
    return mlflow.MlflowClient().search_runs(["0"], f"tags.`mmvid.entry` = '{entry}'", order_by=["start_time ASC"])


def test_a_classifier_is_trained_from_shards(workplace, capsys):
    make_demo(workplace / "records", DemoConfig(videos=400, frame_videos=400, frames=6, shards=2))
    data = str(workplace / "records" / "frame")
    train.main(["dbof", "--data", data, *OPTIONS])
    train.main(["dbof", "--data", data, *OPTIONS, "--stream", "True", "--readers", "1", "--buffer", "64"])
    whole, streamed = runs("train_dbof")
    assert whole.info.status == streamed.info.status == "FINISHED"
    assert whole.data.tags["mmvid.key"] != streamed.data.tags["mmvid.key"]
    assert whole.data.metrics["train/videos"] == streamed.data.metrics["train/videos"] > 200
    assert streamed.data.metrics["validate/gap"] == pytest.approx(whole.data.metrics["validate/gap"], abs=0.1)
    store = Store.open(streamed.data.tags["mmvid.data.store"])
    assert store.streamed("train") and not store.streamed("validate")
    (logged,) = streamed.inputs.dataset_inputs
    assert logged.dataset.digest == store.digest[:36]
    assert '"streamed shards": 2' in logged.dataset.profile and data in logged.dataset.profile
    capsys.readouterr()
    train.main(["dbof", "--data", data, *OPTIONS, "--stream", "True", "--readers", "1", "--buffer", "64"])
    assert "has the same key; nothing to compute" in capsys.readouterr().err
    assert len(runs("ingest")) == 2 and len(runs("train_dbof")) == 2
    inspect.main(["--data", str(store.folder)])
    (found,) = runs("inspect")
    assert found.info.status == "FINISHED"
    moved = workplace / "elsewhere"
    (workplace / "records").rename(moved)
    ingest.main(["--data", str(moved / "frame"), "--schema", "demo", "--stream", "True"])
    assert len(runs("ingest")) == 3  # where the shards lie is part of what was ingested
