"""The contract of every classifier: a new file in the folder is covered on arrival."""

import numpy as np
import pytest
import torch

from mmvid import classifiers, packaging
from mmvid.records.batches import Batch, Shapes
from mmvid.records.schema import load_schema
from mmvid.training import classification_loss

SHAPES = Shapes(
    classes=100,
    features={"visual": 64, "audio": 16, "speech": 10},
    frames={"visual": 64, "audio": 16},
    words=60,
    word_size=16,
)
NAMES = classifiers.names()
COUNTED = [name for name in NAMES if "fitted_by_counts" in classifiers.load(name).Model.traits]
# Options that make another model of a classifier: they must keep the contract, too.
VARIANTS = {
    "dbof, drawn anew": ("dbof", {"evaluation": "random", "samples": 2}),
    "dbof, one run": ("dbof", {"evaluation": "fixed", "sampling": "run", "samples": 3}),
    "dbof, gated averages": ("dbof", {"pooling": "average", "gating": "context", "batch_norm": False}),
    "netvlad, drawn anew": ("netvlad", {"sampling": "frames", "evaluation": "random", "samples": 4}),
    "netrvlad": ("netvlad", {"residuals": "none", "gating": "squeeze_excite", "class_gating": True}),
    "lstm, a vector beside frames": ("lstm", {"modalities": ("audio", "speech")}),
    "lstm, the paper's last state": ("lstm", {"preset": "lstm_a", "cells": 48}),
}
MODELS = [*NAMES, *VARIANTS]
LEARNT = [name for name in NAMES if name not in COUNTED]
TRAINED = [name for name in MODELS if name not in COUNTED]
# Sizes at which a test takes a second, without dropout, so that a few videos can be learnt by heart.
SMALL = {
    "textcnn": {"filters": 24, "hidden": 64, "dropout": 0.0},
    "keywords": {"clusters": 40, "sizes": (64, 64), "dropout": 0.0},
    "mlp": {"hidden": (64, 64), "dropout": 0.0},
    "dbof": {"projection": 128, "hidden": 64, "dropout": 0.0},
    "lstm": {"cells": 48, "dropout": 0.0},
    "netvlad": {"clusters": 8, "hidden": 64, "dropout": 0.0},
    "nextvlad": {"clusters": 8, "hidden": 64, "dropout": 0.0},
}


def make(name: str, seed: int = 0) -> classifiers.Classifier:
    """A classifier, or one of `VARIANTS`, as it is before training, or with what it counted in `make_batch`."""
    torch.manual_seed(seed)
    name, options = VARIANTS.get(name, (name, {}))
    member = classifiers.load(name)
    model = member.Model(member.Config(**SMALL.get(name, {}) | options), SHAPES)
    random = np.random.default_rng(0)
    vectors = random.normal(size=(SHAPES.words, SHAPES.word_size)).astype(np.float32)
    model.prepare(vectors, random.integers(1, 9, SHAPES.words))
    if name in COUNTED:
        model.fit_counts([make_batch()])
    return model.eval()


def score(model: classifiers.Classifier, batch: Batch) -> torch.Tensor:
    """Scores; of a `stochastic` model those of the same draws each time."""
    torch.manual_seed(5)
    return model(batch)


def make_batch(videos: int = 4, frames: int = 5, seed: int = 1) -> Batch:
    """Random videos; the later ones are shorter, the last lacks audio."""
    torch.manual_seed(seed)
    lengths = torch.tensor([max(1, frames - i) for i in range(videos)])
    valid = (torch.arange(frames) < lengths[:, None]).unsqueeze(-1)
    batch = Batch(
        ids=[str(i) for i in range(videos)],
        features={name: torch.randn(videos, size) for name, size in SHAPES.features.items()},
        frames={name: torch.randn(videos, frames, size) * valid for name, size in SHAPES.frames.items()},
        num_frames=lengths,
        presence={name: torch.ones(videos, dtype=torch.bool) for name in SHAPES.features},
        labels=torch.rand(videos, SHAPES.classes) < 0.05,
    )
    batch.presence["audio"][-1] = False
    batch.features["audio"][-1], batch.frames["audio"][-1] = 0, 0
    for field, longest in (("title", 6), ("keywords", 9)):
        counts = torch.tensor([max(1, longest - 2 * i) for i in range(videos)])
        words = torch.randint(1, SHAPES.words + 1, (videos, longest))
        batch.tokens[field] = words * (torch.arange(longest) < counts[:, None])
        batch.token_lengths[field] = counts
        batch.presence[field] = counts > 0
    return batch


def first(batch: Batch, count: int) -> Batch:
    """The first videos of a batch."""
    return Batch(
        ids=batch.ids[:count],
        features={name: value[:count] for name, value in batch.features.items()},
        frames={name: value[:count] for name, value in batch.frames.items()},
        num_frames=batch.num_frames[:count],
        presence={name: value[:count] for name, value in batch.presence.items()},
        tokens={name: value[:count] for name, value in batch.tokens.items()},
        token_lengths={name: value[:count] for name, value in batch.token_lengths.items()},
        labels=batch.labels[:count],
    )


@pytest.mark.parametrize("name", MODELS)
def test_scores_have_shape_and_range(name):
    scores = make(name)(make_batch())
    assert scores.shape == (4, SHAPES.classes)
    assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.parametrize("name", MODELS)
def test_log_odds_agree_with_scores(name):
    model, batch = make(name), make_batch()
    torch.manual_seed(5)
    odds = model.log_odds(batch)
    assert odds.shape == (4, SHAPES.classes)
    torch.testing.assert_close(odds.sigmoid(), score(model, batch))


@pytest.mark.parametrize("name", MODELS)
def test_padding_never_changes_a_score(name):
    model, batch = make(name), make_batch()
    padded = Batch(**vars(batch))
    padded.frames = {key: torch.nn.functional.pad(value, (0, 0, 0, 7)) for key, value in batch.frames.items()}
    padded.tokens = {key: torch.nn.functional.pad(value, (0, 7)) for key, value in batch.tokens.items()}
    torch.testing.assert_close(score(model, padded), score(model, batch), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", TRAINED)
def test_padding_never_changes_a_training_step(name):
    model, batch = make(name).train(), make_batch()
    for part in model.modules():  # what is dropped is drawn for padding, too
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
        elif isinstance(part, torch.nn.MultiheadAttention):
            part.dropout = 0.0
    padded = Batch(**vars(batch))
    padded.frames = {key: torch.nn.functional.pad(value, (0, 0, 0, 7)) for key, value in batch.frames.items()}
    found = []
    for each in (batch, padded):
        model.zero_grad()
        torch.manual_seed(5)
        classification_loss(model, each, "cross_entropy").backward()
        found.append({key: value.grad.clone() for key, value in model.named_parameters() if value.requires_grad})
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_scores_vary_from_call_to_call_only_where_that_is_a_trait(name):
    model, batch = make(name), make_batch()
    first, second = model(batch), model(batch)
    assert torch.equal(first, second) != ("stochastic" in model.traits)


@pytest.mark.parametrize("name", MODELS)
def test_company_in_the_batch_never_changes_a_score(name):
    model, batch = make(name), make_batch()
    torch.testing.assert_close(score(model, first(batch, 2)), score(model, batch)[:2], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", COUNTED)
def test_what_is_counted_has_no_gradients_and_ranks_what_it_counted(name):
    model, batch = make(name), make_batch()
    assert list(model.parameters()) == []
    best = model(batch).argsort(dim=1, descending=True)
    for row, labels in zip(best, batch.labels, strict=True):
        assert set(row[: int(labels.sum())].tolist()) == set(labels.nonzero()[:, 0].tolist())


@pytest.mark.parametrize("name", NAMES)
def test_a_video_without_words_has_scores(name):
    model, batch = make(name), make_batch()
    batch.tokens = {field: torch.zeros_like(words) for field, words in batch.tokens.items()}
    assert torch.isfinite(model(batch)).all()


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_reach_every_parameter(name):
    model, batch = make(name), make_batch()
    (classification_loss(model, batch, "cross_entropy") + model.penalty()).backward()
    trained = {key: value.grad for key, value in model.named_parameters() if value.requires_grad}
    assert [key for key, grad in trained.items() if grad is None or not grad.any()] == []


@pytest.mark.parametrize("name", LEARNT)
@pytest.mark.parametrize("loss", ["cross_entropy", "cross_entropy_epsilon"])
def test_a_tiny_batch_is_learnt(name, loss):
    model, batch = make(name).train(), make_batch()
    adam = torch.optim.Adam(model.parameters(), lr=0.02)
    start = classification_loss(model, batch, loss).item()
    for _ in range(150):
        adam.zero_grad()
        value = classification_loss(model, batch, loss)
        value.backward()
        adam.step()
    assert value.item() < 0.05 * start


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_same_weights(name):
    first, second, other = (make(name, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    if name in LEARNT:  # counts are drawn from nothing
        assert any(not torch.equal(value, other[key]) for key, value in first.items())


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_it_gives_the_same_scores(name, tmp_path):
    model, batch = make(name), make_batch()
    labels = [f"label {i}" for i in range(SHAPES.classes)]
    words = [f"word {i}" for i in range(SHAPES.words)] if model.reads_text else []
    name = VARIANTS.get(name, (name, {}))[0]
    package = packaging.Package(name, model.config, SHAPES, load_schema("demo"), labels, "key", model, words)
    packaging.save(package, tmp_path / "package")
    loaded = packaging.load(tmp_path / "package")
    assert torch.equal(score(loaded.model, batch), score(model, batch))
    assert (loaded.name, loaded.config, loaded.labels, loaded.key) == (name, model.config, labels, "key")
    assert loaded.words == words
    files = {path.name for path in (tmp_path / "package").iterdir()}
    assert files == {"config.json", "model.safetensors", "labels.csv"} | ({"words.txt"} if model.reads_text else set())
