"""What a served classifier answers, and its sentences for bad requests; the real server is in tests/steps."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from mmvid import classifiers, packaging, serving
from mmvid.records.batches import Batch, Shapes
from mmvid.records.quantised import mean_frame
from mmvid.records.schema import load_schema
from mmvid.requests import BadRequest
from mmvid.serving import Service

SCHEMA = load_schema("demo")


@pytest.fixture(scope="module")
def package() -> packaging.Package:
    torch.manual_seed(0)
    shapes = Shapes(classes=100, features={"visual": 1024, "audio": 128})
    member = classifiers.load("moe")
    model = member.Model(member.Config(), shapes).eval()
    return packaging.Package("moe", model.config, shapes, SCHEMA, [f"label {i}" for i in range(100)], "key", model)


@pytest.fixture(scope="module")
def service(package) -> Service:
    return Service(package)


@pytest.fixture(scope="module")
def videos():
    rng = np.random.default_rng(0)
    return rng.normal(size=(3, 1024)).astype(np.float32), rng.normal(size=(3, 128)).astype(np.float32)


def direct(package, visual, audio) -> np.ndarray:
    batch = Batch(ids=["0"], features={"visual": torch.from_numpy(visual), "audio": torch.from_numpy(audio)})
    return package.model(batch).detach().numpy()


def test_the_best_labels_come_first_with_their_names(service, package, videos):
    visual, audio = videos
    records = [
        {"id": f"v{i}", "mean_rgb": visual[i].tolist(), "mean_audio": audio[i].tolist(), "options": {"top_k": 5}}
        for i in range(3)
    ]
    answers = service.answer(records)
    expected = direct(package, visual, audio)
    assert [answer["id"] for answer in answers] == ["v0", "v1", "v2"]
    for answer, scores in zip(answers, expected, strict=True):
        best = np.argsort(-scores, kind="stable")[:5]
        assert [label["id"] for label in answer["labels"]] == best.tolist()
        assert [label["name"] for label in answer["labels"]] == [f"label {c}" for c in best]
        np.testing.assert_allclose([label["score"] for label in answer["labels"]], scores[best], rtol=1e-5)


def test_any_subset_of_the_modalities_will_do(service, package, videos):
    visual, audio = videos
    answer = service.answer([{"mean_audio": audio[0].tolist(), "options": {"dense": True}}])[0]
    np.testing.assert_allclose(answer["scores"], direct(package, visual[:1] * 0, audio[:1])[0], rtol=1e-5)


def test_frames_are_dequantised_and_averaged(service, package):
    frames = np.random.default_rng(1).integers(0, 256, (7, 128))
    answer = service.answer([{"audio": frames.tolist(), "options": {"dense": True}}])[0]
    mean = mean_frame(frames.astype(np.uint8))[None]
    np.testing.assert_allclose(answer["scores"], direct(package, np.zeros((1, 1024), np.float32), mean)[0], rtol=1e-5)


def test_whole_numbers_are_numbers(service):
    assert service.answer([{"mean_rgb": [1] * 1024}])[0]["labels"]


GOOD = [0.1] * 1024


@pytest.mark.parametrize(
    ("records", "sentence"),
    [
        ([], "inputs must hold at least one record, got none"),
        ([{}], "record 0 must have at least one of mean_rgb, rgb, mean_audio, audio"),
        ([{"mean_rgb": []}], "record 0: mean_rgb must be 1024 numbers, got 0"),
        ([{"mean_rgb": [1.0] * 3}], "record 0: mean_rgb must be 1024 numbers, got 3"),
        ([{"mean_rgb": GOOD}, {"mean_rgb": [GOOD]}], "record 1: mean_rgb must be 1024 numbers, got 1 x 1024"),
        ([{"mean_rgb": 3.0}], "record 0: mean_rgb must be 1024 numbers, got a single number"),
        ([{"mean_rgb": "abc"}], "record 0: mean_rgb must be an array of numbers, all rows of one length"),
        ([{"audio": [[1, 2], [3]]}], "record 0: audio must be an array of numbers, all rows of one length"),
        ([{"mean_rgb": [float("nan")] + GOOD[1:]}], "record 0: mean_rgb must be finite, number 0 is nan"),
        ([{"mean_rgb": [1e30] * 1024}], "record 0: mean_rgb must be of at most 1e+15 in size, number 0 is 1e+30"),
        ([{"mean_rgb": ["1"] * 1024}], "record 0: mean_rgb must be an array of numbers, all rows of one length"),
        (
            [{"mean_rgb": GOOD, "video": None}],
            "record 0: unknown key 'video'; there are id, mean_rgb, rgb, mean_audio, audio, options",
        ),
        ([{"mean_rgb": GOOD, "id": [1]}], "record 0: id must be text or a whole number, got [1]"),
        ([{"mean_rgb": GOOD, "options": {"dense": 1}}], "record 0: dense must be true or false, got 1"),
        ([{"audio": [[300] * 128]}], "record 0: audio must be whole numbers from 0 to 255, as quantised features are"),
        ([{"audio": [[1] * 7]}], "record 0: audio must be frames of 128 numbers each, got 1 x 7"),
        (
            [{"audio": [[1] * 128], "mean_audio": [0.0] * 128}],
            "record 0: audio must be given once, as its mean or as its frames",
        ),
        (
            [{"mean_video": GOOD}],
            "record 0: unknown key 'mean_video'; there are id, mean_rgb, rgb, mean_audio, audio, options",
        ),
        ([{"mean_rgb": GOOD, "options": {"top_k": 0}}], "record 0: top_k must be at least 1, got 0"),
        (
            [{"mean_rgb": GOOD, "options": {"topk": 3}}],
            "record 0: topk must not be given: there is no such option",
        ),
        ([{"mean_rgb": GOOD, "options": [1]}], "record 0: options must be an object, got [1]"),
    ],
)
def test_a_bad_request_is_one_sentence_and_status_400(service, records, sentence):
    with pytest.raises(BadRequest) as refused:
        service.answer(records)
    assert refused.value.get_http_status_code() == 400
    assert json.loads(refused.value.serialize_as_json())["message"] == sentence


@pytest.fixture(scope="module")
def logged(package, tmp_path_factory):
    """The package as a logged model of a run, in a store of its own."""
    folder = tmp_path_factory.mktemp("logged")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    experiment = mlflow.create_experiment("serving", artifact_location=str(folder / "artifacts"))
    with mlflow.start_run(experiment_id=experiment):
        packaging.save(package, folder / "package")
        yield serving.log_model(package, folder / "package", packaging.pinned_requirements())
    mlflow.set_tracking_uri(None)


@pytest.mark.slow
def test_a_logged_model_answers_json_and_data_frames_alike(logged, package, videos):
    visual, audio = videos
    model = mlflow.pyfunc.load_model(logged)
    assert model.metadata.signature is not None
    frame = pd.DataFrame({"id": ["a", "b", "c"], "mean_rgb": list(visual), "mean_audio": [audio[0], None, audio[2]]})
    answers = model.predict(frame)
    assert [answer["id"] for answer in answers] == ["a", "b", "c"]
    single = model.predict([{"id": "b", "mean_rgb": visual[1].tolist()}])
    assert [label["name"] for label in answers[1]["labels"]] == [label["name"] for label in single[0]["labels"]]
    assert [label["score"] for label in answers[1]["labels"]] == pytest.approx(
        [label["score"] for label in single[0]["labels"]], rel=1e-5
    )
    dense = mlflow.pyfunc.load_model(logged, model_config={"dense": True}).predict(frame)
    assert dense.shape == (3, 100)
    expected = direct(package, visual, np.stack([audio[0], audio[1] * 0, audio[2]]))
    np.testing.assert_allclose(dense, expected, rtol=1e-5)


@pytest.mark.slow
def test_a_logged_model_has_no_pickle_and_its_package_loads(logged, package):
    from pathlib import Path

    folder = Path(mlflow.artifacts.download_artifacts(logged))
    files = [path for path in folder.rglob("*") if path.is_file() and "code" not in path.parts]
    assert [path.name for path in files if path.suffix in (".pkl", ".pt", ".pth", ".bin")] == []
    loaded = serving.load_logged(logged)
    assert loaded.labels == package.labels and loaded.config == package.config


def test_a_model_that_is_not_there_is_named(workplace):
    with pytest.raises(ValueError, match="^models:/nothing@champion must name a model on sqlite"):
        serving.load_logged("models:/nothing@champion")
