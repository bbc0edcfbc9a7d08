"""Training on rated segments, from made records to the metrics of a run, and the gate on them."""

import re
from pathlib import Path

import mlflow
import numpy as np
import pytest

from mmvid import predictions
from mmvid.bulk import segment_files
from mmvid.records.store import Store
from mmvid.tfrecords.encode import encode_sequence_example
from mmvid.tfrecords.framing import write_records
from steps import evaluate, predict, promote, train

SCHEMA = """
name: rated
classes: 6
features:
  visual: {size: 16, mean: mean_rgb, frames: rgb}
  audio: {size: 4, mean: mean_audio, frames: audio}
segments: {}
"""


def write_videos(path: Path, random: np.random.Generator, directions: np.ndarray, count: int) -> None:
    """Videos of 10 to 20 s whose segments are rated for two classes: there if the mean frame points that way."""
    records = []
    for number in range(count):
        length = int(random.integers(10, 21))
        rgb = (128 + 60 * np.repeat(random.standard_normal((length // 5 + 1, 16)), 5, axis=0)[:length]).clip(0, 255)
        rgb = rgb.astype(np.uint8)
        ratings = []
        for start in range(0, length - 4, 5):
            mean = rgb[start : start + 5].mean(axis=0) - 128
            ratings += [(c, start, float(mean @ directions[c] > 0)) for c in random.choice(6, 2, replace=False)]
        labels, starts, scores = (np.array(part) for part in zip(*ratings, strict=True))
        context = {
            "id": [f"{path.stem}{number}".encode()],
            "labels": np.array([0]),
            "segment_labels": labels,
            "segment_start_times": starts,
            "segment_scores": scores,
        }
        lists = {"rgb": rgb, "audio": random.integers(0, 256, (length, 4), np.uint8)}
        records.append(encode_sequence_example(context, lists))
    write_records(path, records)


@pytest.fixture
def folder(workplace) -> Path:
    folder = workplace / "records"
    folder.mkdir()
    random = np.random.default_rng(0)
    directions = random.standard_normal((6, 16))
    write_videos(folder / "train.tfrecord", random, directions, 200)
    write_videos(folder / "validate.tfrecord", random, directions, 60)
    (folder / "rated.yaml").write_text(SCHEMA)
    return folder


def test_training_on_rated_segments_logs_their_map(folder):
    data = ["--data", str(folder), "--schema", str(folder / "rated.yaml")]
    train.main(["moe", *data, "--epochs", "8", "--batch_size", "64"])
    (run,) = mlflow.MlflowClient().search_runs(["0"], "tags.`mmvid.entry` = 'train_moe'")
    metrics = run.data.metrics
    # The share of positives, about a half, is what chance gives.
    assert 0.8 < metrics["gate/segment_map"] <= 1 and 0.8 < metrics["validate/segment_map"] <= 1
    assert metrics["dev/gap"] > 0.8  # it would be far lower if what nobody rated counted as absent
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "train/loss")
    assert history[-1].value < 0.8 * history[0].value < 2 * np.log(2)  # two rated classes a segment, not six
    stored = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="predictions")
    found = predictions.read(Path(stored) / "validate.arrow")
    store = Store.open(run.data.tags["mmvid.data.store"])
    rated = {row["id"]: set(row["rated"]) for row in store.table("validate").to_pylist()}
    for id, classes, scores in zip(found.ids, found.classes, found.scores, strict=True):
        assert set(classes[scores > 0].tolist()) == rated[id]


def test_the_gate_decides_by_segment_map_where_segments_are_rated(folder, capsys):
    data = ["--data", str(folder), "--schema", str(folder / "rated.yaml")]
    client, runs = mlflow.MlflowClient(), []
    for rate in ("1e-6", "0.02"):  # the first learns next to nothing
        train.main(["logistic", *data, "--epochs", "3", "--batch_size", "64", "--learning_rate", rate])
        (newest, *_) = client.search_runs(["0"], "tags.`mmvid.entry` = 'train_logistic'")
        runs.append(newest.info.run_id)
    rules = folder / "rules.yaml"
    rules.write_text("segments: {metric: segment_map, draws: 200, bars: {segment_map: 0.2}, losses: {rare: 0.1}}")
    for run in (runs[0], runs[1], runs[0]):
        promote.main(["--run", run, "--model", "segments", "--rules", str(rules)])
    said = capsys.readouterr().out
    assert "segments: version 2 is champion" in said and "segments: version 1 stays a candidate" in said
    worse, better = (client.get_run(run).data.metrics["gate/segment_map"] for run in runs)
    assert f"segment_map {better:.4f} beats the champion's {worse:.4f}" in said
    (gain,) = re.findall(r"the gain is no noise: \+(0\.\d+), in 95 % of 200 draws", said)
    assert float(gain) == pytest.approx(better - worse, abs=1e-4)
    assert "rare/map" in said  # segment_map is not defined for a part of the classes
    champion = client.get_model_version_by_alias("segments", "champion")
    assert champion.tags["mmvid.run"] == runs[1] and "segment_map" in champion.description


def test_a_file_of_segments_is_measured_as_training_measured(folder):
    data = ["--data", str(folder), "--schema", str(folder / "rated.yaml")]
    train.main(["moe", *data, "--epochs", "4", "--batch_size", "64"])
    client = mlflow.MlflowClient()
    (run,) = client.search_runs(["0"], "tags.`mmvid.entry` = 'train_moe'")
    for name, kind in (("a.parquet", "parquet"), ("a.csv", "segments")):
        asked = ["--model", run.info.run_id, "--shards", str(folder / "validate.tfrecord"), "--format", kind]
        predict.main([*asked, "--output", str(folder / name), "--top_k", "6"])
        evaluate.main(["--predictions", str(folder / name), *data])
        (found, *_) = client.search_runs(["0"], "tags.`mmvid.entry` = 'evaluate'")
        expected = run.data.metrics["validate/segment_map"]
        assert found.data.metrics["validate/segment_map"] == pytest.approx(expected, abs=1e-6)
        assert found.data.metrics["validate/segments"] > 100 and found.data.metrics["validate/segments_lacking"] == 0
    # A class of which less is submitted loses what is not there; segments that nobody rated do not count.
    lines = (folder / "a.csv").read_text().splitlines()
    lines[1] = f"0,other:5 {lines[1].split()[-1]}"
    (folder / "less.csv").write_text("\n".join(lines))
    evaluate.main(["--predictions", str(folder / "less.csv"), *data])
    (less, *_) = client.search_runs(["0"], "tags.`mmvid.entry` = 'evaluate'")
    assert less.data.metrics["validate/segment_map"] < expected - 0.1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("Class,Segments\n", "must have at least one segment, it has none"),
        ("Class,Segments\n6,a:0\n", "line 2 must be a class from 0 to 5, a comma and segments, got '6,a:0'"),
        ("Class,Segments\n1,a:0\n1,b:0\n", "line 3 must be another class's, 1 was there before"),
        ("Class,Segments\n1,a:0 a:0\n", "line 2 must have each segment once, it has 'a:0' twice"),
        ("Class,Segments\n1,a\n", "line 2: a segment must be video:start, got 'a'"),
        ("VideoId,LabelConfidencePairs\na,1 0.5\n", "must be of segments, which have a column start"),
    ],
)
def test_a_wrong_file_of_segments_is_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"^{path}:? {re.escape(sentence)}"):
        segment_files.read(path, 6)
