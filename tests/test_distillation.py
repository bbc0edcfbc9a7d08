"""A teacher's scores: kept sparsely, once, resumed after a kill; the targets they make; whom a model can learn from."""

import dataclasses
import json

import mlflow
import numpy as np
import pytest
import torch

from mmvid import classifiers, distillation, experiment
from mmvid.distillation import Teacher, TeacherConfig
from mmvid.packaging import Package
from mmvid.records import ingest
from mmvid.records.demo import DemoConfig, make_demo
from mmvid.records.store import Store
from mmvid.setups import Setup
from mmvid.training import TrainConfig
from steps import demo_data, train

KEPT = 5


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("taught")
    make_demo(folder / "demo", DemoConfig(videos=300, frame_videos=0, seed=3))
    return ingest.ingest(folder / "demo" / "video", "demo", folder / "store", progress=False)


@pytest.fixture
def small(monkeypatch) -> None:
    """Parts of two batches of 16 videos, of which five classes are kept."""
    monkeypatch.setattr(distillation, "KEPT", KEPT)
    monkeypatch.setattr(distillation, "PART", 2)
    monkeypatch.setattr(experiment, "PREDICT_BATCH", 16)


def make_teacher(store: Store, folder, key: str = "key", **options) -> Teacher:
    """A logistic regression with large random weights, so that its scores differ."""
    torch.manual_seed(0)
    member = classifiers.load("logistic")
    model = member.Model(member.Config(), store.shapes).eval()
    torch.nn.init.normal_(model.dense.weight, std=1.0)
    package = Package("logistic", member.Config(), store.shapes, store.schema, store.names, key, model)
    return Teacher(package, TeacherConfig(teacher="made", **options), folder)


def dense_scores(teacher: Teacher, store: Store) -> np.ndarray:
    with torch.inference_mode():
        batches = experiment.batches(store, "train", teacher.package.model, 50)
        return np.concatenate([teacher.package.model(batch).numpy() for batch in batches])


@pytest.mark.parametrize(("weight", "temperature"), [(0.3, 1.0), (1.0, 2.0)])
def test_targets_blend_labels_with_the_best_scores_of_each_video(store, tmp_path, small, weight, temperature):
    teacher = make_teacher(store, tmp_path, distillation_weight=weight, distillation_temperature=temperature)
    scores, model = dense_scores(teacher, store), teacher.package.model
    labels = np.concatenate([batch.labels.numpy() for batch in experiment.batches(store, "train", model, 50)])
    ids = [video for batch in experiment.batches(store, "train", model, 50) for video in batch.ids]
    expected = {}
    for video, row, label in zip(ids, scores.astype(np.float64), labels, strict=True):
        taught = np.zeros(len(row))
        for best in sorted(range(len(row)), key=lambda c: (-row[c], c))[:KEPT]:
            taught[best] = 1 / (1 + (row[best] / (1 - row[best])) ** (-1 / temperature))
        expected[video] = (1 - weight) * label + weight * taught
    seen = 0
    shuffled = experiment.batches(store, "train", model, 64, learn=True, relabel=teacher.relabel(store))
    for batch in shuffled:
        wanted = np.stack([expected[video] for video in batch.ids])
        np.testing.assert_allclose(batch.labels.numpy(), wanted, atol=1e-5)
        seen += len(batch)
    assert seen == store.count("train") > 3 * 32  # rows of several parts come in one batch


def test_a_killed_computation_goes_on_after_its_last_part_and_a_finished_one_is_not_repeated(
    store, tmp_path, small, monkeypatch
):
    whole, cut = make_teacher(store, tmp_path / "whole"), make_teacher(store, tmp_path / "cut")
    whole.relabel(store)
    calls = []

    def count_to(limit: int):
        forward = type(cut.package.model).forward

        def counted(self, batch):
            calls.append(len(batch))
            if len(calls) > limit:
                raise RuntimeError("the power went")
            return forward(self, batch)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(type(cut.package.model), "forward", count_to(5))
        with pytest.raises(RuntimeError, match="the power went"):
            cut.relabel(store)
    (folder,) = (tmp_path / "cut").iterdir()
    assert sorted(path.name for path in folder.glob("*.arrow")) == ["00000.arrow", "00001.arrow"]
    calls.clear()
    monkeypatch.setattr(type(cut.package.model), "forward", count_to(1000))
    cut.relabel(store)
    assert sum(calls) == store.count("train") - 64  # two parts were there
    cut.relabel(store)
    assert sum(calls) == store.count("train") - 64
    (other,) = (tmp_path / "whole").iterdir()
    rows = np.random.default_rng(0).permutation(store.count("train"))
    for found, wanted in zip(*(distillation.Scores(place).of(rows) for place in (folder, other)), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_student_comes_closer_to_its_teacher(store, tmp_path):
    teacher = make_teacher(store, tmp_path, distillation_weight=1.0)
    config = TrainConfig(epochs=8, batch_size=32, learning_rate=0.1, patience=0)
    setup = Setup("logistic", classifiers.load("logistic").Config(), config, teacher)
    model, fitted = experiment.train(setup, store, progress=False)
    assert fitted.history[-1]["train/loss"] < fitted.history[0]["train/loss"]
    alone, _ = experiment.train(dataclasses.replace(setup, teacher=None), store, progress=False)
    distance = {}
    for name, student in (("taught", model), ("alone", alone)):
        with torch.inference_mode():
            batches = experiment.batches(store, "train", student.eval(), 64)
            apart = [(student(batch) - teacher.package.model(batch)).abs().mean(1) for batch in batches]
        distance[name] = torch.cat(apart).mean().item()
    assert distance["taught"] < 0.8 * distance["alone"]


def test_teacher_weight_and_temperature_are_part_of_a_runs_key(store, tmp_path):
    config = classifiers.load("moe").Config()

    def key(teacher: Teacher | None) -> str:
        return Setup("moe", config, TrainConfig(), teacher).task(store).key

    keys = [
        key(None),
        key(make_teacher(store, tmp_path)),
        key(make_teacher(store, tmp_path, key="other")),
        key(make_teacher(store, tmp_path, distillation_weight=0.9)),
        key(make_teacher(store, tmp_path, distillation_temperature=3)),
    ]
    assert len(set(keys)) == 5
    assert key(make_teacher(store, tmp_path / "elsewhere")) == keys[1]


def test_a_teacher_of_other_labels_is_refused_in_one_sentence(store, tmp_path):
    teacher = make_teacher(store, tmp_path)
    other = dataclasses.replace(teacher.package, labels=[f"other {name}" for name in store.names])
    message = "^teacher must be a model of .*: its labels have other names than the data set's$"
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(teacher, package=other).relabel(store)
    fewer = other.shapes.model_copy(update={"classes": 3})
    with pytest.raises(ValueError, match="^teacher must be a model of .*: it was trained on demo with 3 labels"):
        dataclasses.replace(teacher, package=dataclasses.replace(other, shapes=fewer)).check(store)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_of_scores_is_named(store, tmp_path, small):
    teacher = make_teacher(store, tmp_path)
    teacher.relabel(store)
    (folder,) = tmp_path.iterdir()
    (folder / "00001.arrow").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="00001.arrow must be an Arrow file of a teacher's scores"):
        teacher.relabel(store)


def test_a_run_teaches_another_by_the_command(workplace, capsys):
    demo_data.main(["--videos", "200", "--frame_videos", "0", "--seed", "3"])
    train.main(["moe", "--epochs", "1"])
    teacher = capsys.readouterr().out.split()[-1]
    train.main(["mlp", "--epochs", "1", "--hidden", "16", "--mixup", "0.4", "--teacher", teacher])
    client = mlflow.MlflowClient()
    (taught,) = client.search_runs(["0"], "tags.`mmvid.entry` = 'train_mlp'")
    assert taught.data.tags["mmvid.input.teacher"] == client.get_run(teacher).data.tags["mmvid.key"]
    config = json.loads(mlflow.artifacts.load_text(f"{taught.info.artifact_uri}/config.json"))
    assert config["teacher"]["distillation_weight"] == 0.5 and config["train"]["mixup"] == 0.4
    assert len(list((workplace / "data" / "teachers").glob("*/scores.json"))) == 1
    with pytest.raises(ValueError, match="^run must be the id of a run on "):
        train.main(["mlp", "--teacher", "0" * 32])
