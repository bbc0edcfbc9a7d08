"""A model that reads titles and keywords answers raw ones, in any part missing, as it answers the data set's."""

import json

import mlflow
import numpy as np
import pytest
import torch

from mmvid import classifiers, packaging, serving
from mmvid.classifiers.keywords import WordHistogram
from mmvid.records.batches import Batch, Shapes
from mmvid.records.schema import load_schema
from mmvid.requests import BadRequest
from mmvid.serving import Service
from mmvid.text.fields import Cleaning
from mmvid.text.raw import RawText
from mmvid.text_encoder import TextEncoder

WORDS = ["guitar", "music", "How", "play", "football", "to", "cafe"]
LABELS = [f"label {i}" for i in range(20)]
SIZES = {"visual": 1024, "audio": 128, "keywords": 4, "title": 16}
GUITAR = {"title": "How to play: guitar!", "keywords": ["Guitar, music", "2016"]}


def textcnn(shapes: Shapes):
    member = classifiers.load("textcnn")
    model = member.Model(member.Config(widths=(1, 2), filters=8, hidden=16, max_words=5), shapes)
    model.prepare(vectors(), np.ones(len(WORDS), np.int64))
    return model.eval()


def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    histogram = WordHistogram(len(WORDS), 6, 4)
    histogram.fit(vectors(), np.ones(len(WORDS), np.int64))
    titles = textcnn(Shapes(classes=20, words=len(WORDS), word_size=6))
    return TextEncoder(RawText(WORDS, Cleaning()), histogram, titles)


@pytest.fixture(scope="module")
def mixture(encoder) -> packaging.Package:
    """A mixture of experts that reads features of everything."""
    torch.manual_seed(1)
    member = classifiers.load("moe")
    shapes = Shapes(classes=20, features=SIZES)
    model = member.Model(member.Config(), shapes).eval()
    return packaging.Package("moe", model.config, shapes, load_schema("demo"), LABELS, "key", model, encoder=encoder)


@pytest.fixture(scope="module", params=["unigram", "keywords", "textcnn"])
def reader(request) -> packaging.Package:
    """A classifier that reads the words themselves."""
    torch.manual_seed(2)
    member, shapes = classifiers.load(request.param), Shapes(classes=20, words=len(WORDS), word_size=6)
    if request.param == "textcnn":
        model = textcnn(shapes)
    else:
        model = member.Model(member.Config(text_fields=("title", "keywords")), shapes).eval()
        model.prepare(vectors(), np.ones(len(WORDS), np.int64))
        if request.param == "unigram":
            labels = torch.eye(20, dtype=torch.bool)[[3, 5]]
            tokens = {"title": torch.tensor([[3, 1], [5, 0]]), "keywords": torch.tensor([[2], [5]])}
            model.fit_counts([Batch(ids=["a", "b"], tokens=tokens, labels=labels)])
    parts = (request.param, model.config, shapes, load_schema("demo"), LABELS, "key", model)
    return packaging.Package(*parts, words=WORDS, cleaning=Cleaning())


def dense(service: Service, *records: dict) -> np.ndarray:
    return service.scores([{key: value for key, value in record.items() if key in service.known} for record in records])


def test_the_words_of_a_request_are_cleaned_and_numbered(encoder):
    tokens = encoder.tokens([GUITAR["title"], None, "CAFE music"], [GUITAR["keywords"], [], None])
    assert tokens["title"].tolist() == [[3, 6, 4, 1], [0, 0, 0, 0], [7, 2, 0, 0]]
    assert tokens["keywords"].tolist() == [[1, 2], [0, 0], [0, 0]]
    features = encoder.features(tokens)
    assert features["keywords"].sum(dim=1).tolist() == [2, 0, 0]
    assert features["title"][1].any().item() is False and features["title"].shape == (3, 16)
    present = encoder.present(tokens)
    assert present["title"].tolist() == [True, False, True] and present["keywords"].tolist() == [True, False, False]


def test_raw_text_scores_as_its_features_do(mixture, encoder):
    visual = np.random.default_rng(1).normal(size=1024).astype(np.float32)
    features = encoder.features(encoder.tokens([GUITAR["title"]], [GUITAR["keywords"]]))
    features |= {"visual": torch.from_numpy(visual)[None], "audio": torch.zeros(1, 128)}
    presence = {name: torch.tensor([name != "audio"]) for name in features}
    expected = mixture.model(Batch(ids=["0"], features=features, presence=presence)).detach().numpy()
    np.testing.assert_allclose(dense(Service(mixture), GUITAR | {"mean_rgb": visual.tolist()}), expected, rtol=1e-5)


def test_any_part_may_be_missing(mixture):
    service = Service(mixture)
    parts = [
        {"title": GUITAR["title"]},
        {"keywords": GUITAR["keywords"]},
        {"mean_audio": [0.5] * 128},
        {"title": ""},
    ]
    together, alone = dense(service, *parts), [dense(service, part)[0] for part in parts]
    np.testing.assert_allclose(together, alone, rtol=1e-4)
    assert len(np.unique(together.round(6), axis=0)) == 4


def test_words_matter_and_survive_whatever_is_sent(reader):
    service = Service(reader)
    odd = [
        {"title": "guitar\x00 \x00music"},
        {"title": "guitar " * 10_000},
        {"title": "\U0001f3b8\u200f\ud800", "keywords": None},
        {"title": "zzzz qqqq"},
        {"title": ""},
    ]
    found = dense(service, *odd)
    assert np.isfinite(found).all()
    assert np.abs(found[0] - found[4]).max() > 1e-6  # known words change the scores
    np.testing.assert_allclose(found[3], found[4], rtol=1e-5)  # unknown ones do not


def test_a_language_that_is_told_is_trusted(reader):
    service = Service(reader)
    french = {"title": "guitar music", "language": "fr"}
    np.testing.assert_allclose(dense(service, french), dense(service, {"title": ""}), rtol=1e-5)


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"title": 3}, "record 0: title must be text, got 3"),
        ({"title": ["a"]}, "record 0: title must be text, got ['a']"),
        ({"title": "a", "keywords": "b"}, "record 0: keywords must be a list of texts, got 'b'"),
        ({"keywords": ["a", 1]}, "record 0: keywords must be a list of texts, got ['a', 1]"),
        ({"title": "a", "language": 1}, "record 0: language must be a code such as en, got 1"),
        ({}, "record 0 must have at least one of mean_rgb, rgb, mean_audio, audio, title, keywords"),
        (
            {"name": "a"},
            "record 0: unknown key 'name'; there are id, mean_rgb, rgb, mean_audio, audio, title, keywords, language, "
            "options",
        ),
    ],
)
def test_a_bad_text_is_one_sentence_and_status_400(mixture, record, sentence):
    with pytest.raises(BadRequest) as refused:
        Service(mixture).answer([record])
    assert refused.value.get_http_status_code() == 400
    assert json.loads(refused.value.serialize_as_json())["message"] == sentence


def test_a_model_without_text_takes_none(mixture):
    member, shapes = classifiers.load("moe"), Shapes(classes=20, features={"audio": 128})
    model = member.Model(member.Config(), shapes).eval()
    package = packaging.Package("moe", model.config, shapes, load_schema("demo"), LABELS, "key", model)
    with pytest.raises(BadRequest, match="unknown key 'title'; there are id, mean_audio, audio, options"):
        Service(package).answer([{"title": "a"}])


def test_packages_keep_all_that_reads_text(mixture, reader, tmp_path):
    for package in (mixture, reader):
        folder = tmp_path / package.name
        packaging.save(package, folder)
        loaded = Service(packaging.load(folder))
        np.testing.assert_array_equal(dense(loaded, GUITAR), dense(Service(package), GUITAR))
    (tmp_path / "moe" / "text" / "words.txt").write_text("guitar\n")
    with pytest.raises(ValueError, match=r"words\.txt must hold 7 words, got 1$"):
        packaging.load(tmp_path / "moe")


def test_a_reader_of_words_is_not_measured_without_a_text_set(reader):
    class Here:
        schema, shapes, names = load_schema("demo"), Shapes(classes=20), LABELS

    assert reader.obstacle(Here).startswith("it reads words, which a text set has and a store has not")


@pytest.mark.slow
def test_a_logged_model_answers_raw_text(mixture, tmp_path):
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = mlflow.create_experiment("text", artifact_location=str(tmp_path / "artifacts"))
    with mlflow.start_run(experiment_id=experiment):
        packaging.save(mixture, tmp_path / "package")
        uri = serving.log_model(mixture, tmp_path / "package", packaging.pinned_requirements())
    model = mlflow.pyfunc.load_model(uri)
    mlflow.set_tracking_uri(None)
    assert "keywords" in str(model.metadata.signature.inputs)
    (answer,) = model.predict([GUITAR | {"options": {"dense": True}}])
    np.testing.assert_allclose(answer["scores"], dense(Service(mixture), GUITAR)[0], rtol=1e-5)
