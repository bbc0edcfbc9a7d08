"""Predictions on disk and as rankings."""

import numpy as np
import pytest
import torch

from mmvid import evaluation, predictions
from mmvid.metrics import ranking
from mmvid.metrics.ranked import best_classes
from mmvid.predictions import Predictions


@pytest.fixture
def dense():
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(30, 40, generator=generator)
    return scores, torch.rand(30, 40, generator=generator) < 0.1


@pytest.fixture
def sparse(dense) -> Predictions:
    scores, labels = dense
    values, classes = best_classes(scores, 25)
    counts = labels.sum(1).numpy()
    return Predictions(
        ids=[f"video {i}" for i in range(30)],
        classes=classes.int().numpy(),
        scores=values.numpy(),
        labels=labels.nonzero()[:, 1].numpy().astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        num_classes=40,
        key="abc",
    )


def test_sparse_predictions_give_the_metrics_of_dense_scores(dense, sparse):
    scores, labels = dense
    expected = {
        "gap": ranking.gap(scores, labels),
        "map": ranking.mean_average_precision(scores, labels),
        "hit_at_1": ranking.hit_at_1(scores, labels),
        "perr": ranking.perr(scores, labels),
    }
    assert ranking.summary_of(sparse.ranked()) == pytest.approx(expected, abs=1e-12)


def test_written_and_read_they_are_the_same(sparse, tmp_path):
    predictions.write(sparse, tmp_path / "p.arrow")
    read = predictions.read(tmp_path / "p.arrow")
    assert (read.ids, read.key, read.num_classes) == (sparse.ids, "abc", 40)
    for name in ("classes", "scores", "labels", "offsets"):
        np.testing.assert_array_equal(getattr(read, name), getattr(sparse, name))
    assert [path.name for path in tmp_path.iterdir()] == ["p.arrow"]


def test_a_selection_keeps_labels_with_their_videos(dense, sparse):
    scores, labels = dense
    rows = np.arange(30) % 3 == 0
    part = sparse.select(rows)
    assert part.ids == sparse.ids[::3]
    assert ranking.gap_of(part.ranked()) == pytest.approx(ranking.gap(scores[rows], labels[rows]), abs=1e-12)


def test_without_a_label_scores_are_those_of_the_other_classes(dense, sparse):
    scores, labels = dense
    label, kept = 7, np.arange(40) != 7
    rest = sparse.without(label)
    assert ranking.gap_of(rest.ranked()) == pytest.approx(ranking.gap(scores[:, kept], labels[:, kept]), abs=1e-12)
    half = np.arange(30) % 2 == 0
    found = evaluation.score(sparse, {"even": half}, commonest=label)
    expected = ranking.gap(scores[half][:, kept], labels[half][:, kept])
    assert found["without_commonest/even/gap"] == pytest.approx(expected, abs=1e-12)
    assert found["without_commonest/gap"] == pytest.approx(ranking.gap_of(rest.ranked()))
    assert found["gap"] == pytest.approx(ranking.gap(scores, labels), abs=1e-12)


def test_without_labels_they_can_be_stored_but_not_scored(sparse, tmp_path):
    import dataclasses

    bare = dataclasses.replace(sparse, labels=None, offsets=None)
    predictions.write(bare, tmp_path / "p.arrow")
    with pytest.raises(ValueError, match="^predictions without labels cannot be scored$"):
        predictions.read(tmp_path / "p.arrow").ranked()


def test_another_file_is_refused_by_name(tmp_path):
    (tmp_path / "p.arrow").write_bytes(b"not an Arrow file")
    with pytest.raises(ValueError, match="p.arrow must be an Arrow file of predictions"):
        predictions.read(tmp_path / "p.arrow")
