"""A frame-level classifier from the demo's frames to a served model, by the command."""

import mlflow
import numpy as np

from mmvid import serving
from mmvid.records.store import Store
from mmvid.serving import Service
from steps import train


def test_dbof_is_trained_on_the_demos_frames_and_answers_frames(job, monkeypatch, capsys):
    monkeypatch.chdir(job.folder)
    monkeypatch.setenv("MMVID_HOME", str(job.folder / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", job.tracking)
    mlflow.set_tracking_uri(job.tracking)
    train.main(["dbof", "--epochs", "2", "--projection", "64", "--hidden", "32", "--preset", "dbof_a", "--samples", ""])
    assert "dbof on demo, seed 0: validate gap" in capsys.readouterr().out
    (run,) = job.runs("train_dbof")
    metrics = run.data.metrics
    assert metrics["train/videos"] > 0 and 0 < metrics["validate/gap"] < 1
    store = Store.open(run.data.tags["mmvid.data.store"])
    assert store.shapes.frames == {"visual": 1024, "audio": 128}
    package = serving.load_logged(run.data.tags["mmvid.model"])
    config = package.model.config
    assert (config.projection, config.hidden, config.samples, config.norm_decay) == (64, 32, 30, 0.999)
    assert package.obstacle(store) is None
    frames = np.random.default_rng(0).integers(0, 256, (4, 128)).tolist()
    (answer,) = Service(package).answer([{"id": "a", "audio": frames, "options": {"top_k": 3}}])
    assert len(answer["labels"]) == 3
