"""GAP, mAP, Hit@1 and PERR against the starter code's values, plain loops and scikit-learn."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from mmvid.metrics import ranking
from mmvid.metrics.ranked import rank

INDEX = Path(__file__).resolve().parents[3] / "shared" / "golden" / "youtube8m" / "index.json"
CASES = json.loads(INDEX.read_text())["cases"] if INDEX.exists() else []
# Where the bounds over all orders of tied scores differ, the starter code's value is one of several.
TIED = {case["name"] for case in CASES if case["gap_lo"] != case["gap_hi"] and case["tie_global"]}
ALL = {
    "gap": ranking.gap,
    "map": ranking.mean_average_precision,
    "map over all": lambda scores, labels: ranking.mean_average_precision(scores, labels, over="all"),
    "hit_at_1": ranking.hit_at_1,
    "perr": ranking.perr,
}


def random_videos(n, c, levels=None, seed=0, dtype=torch.float64):
    random = torch.Generator().manual_seed(seed)
    scores = torch.rand(n, c, generator=random, dtype=dtype)
    if levels:
        scores = (scores * levels).floor() / levels
    labels = torch.rand(n, c, generator=random) < 0.15
    return scores, labels


class Case:
    """A golden case: inputs of the starter code's metrics and the values that it gave."""

    def __init__(self, folder, name):
        with np.load(folder / f"{name}.npz") as data:
            self.values = {key: data[key] for key in data}
        self.scores, self.labels = torch.from_numpy(self["preds"]), torch.from_numpy(self["labels"])
        self.k = int(self["top_k"])
        self.top_n = None if self["top_n"] < 0 else int(self["top_n"])

    def __getitem__(self, key):
        return self.values[key]


@pytest.fixture
def case(golden, request):
    return Case(golden, request.param)


def golden_cases(names):
    return pytest.mark.parametrize("case", sorted(names) or ["absent"], indirect=True)


all_cases = golden_cases({case["name"] for case in CASES})
tie_free = golden_cases({case["name"] for case in CASES} - TIED)
tied = golden_cases(TIED)


@tie_free
def test_starter_code_gap(case):
    assert ranking.gap(case.scores, case.labels, case.k) == pytest.approx(float(case["gap"]), abs=1e-9)


@tied
def test_starter_code_gap_is_one_of_several_around_ours(case):
    ours = ranking.gap(case.scores, case.labels, case.k)
    assert case["gap_lo"] < ours < case["gap_hi"]


@all_cases
def test_starter_code_present_classes(case):
    per_class = ranking.class_average_precision(case.scores, case.labels, case.k, top_n=case.top_n)
    assert per_class.isfinite().nonzero().flatten().tolist() == case["present_classes"].tolist()


@tie_free
def test_starter_code_map(case):
    per_class = ranking.class_average_precision(case.scores, case.labels, case.k, top_n=case.top_n)
    np.testing.assert_allclose(per_class[case["present_classes"].astype(int)], case["aps"], atol=1e-9)
    dropped = ranking.mean_average_precision(case.scores, case.labels, case.k, "drop", top_n=case.top_n)
    np.testing.assert_allclose(dropped, case["map"], atol=1e-9)
    if "map2017" in case.values:
        zero = ranking.mean_average_precision(case.scores, case.labels, case.k, "zero")
        np.testing.assert_allclose(zero, case["map2017"], atol=1e-9)


@all_cases
def test_starter_code_hit_at_1(case):
    # Its argmax takes the first of tied classes, as our rule does.
    assert ranking.hit_at_1(case.scores, case.labels) == pytest.approx(float(case["hit1"]), abs=1e-9)


@tie_free
def test_starter_code_perr(case):
    assert ranking.perr(case.scores, case.labels) == pytest.approx(float(case["perr"]), abs=1e-9)


def test_scores_of_zero_or_less_never_count_for_perr():
    labels = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert ranking.perr(torch.tensor([[0.5, 0.0, -1.0], [-0.1, -0.2, -0.3]]), labels) == 0.25


def test_without_any_label_gap_is_0_and_map_has_no_class():
    scores, labels = random_videos(5, 4)
    labels[:] = False
    assert ranking.gap(scores, labels) == 0
    assert math.isnan(ranking.mean_average_precision(scores, labels))
    assert ranking.mean_average_precision(scores, labels, empty_classes="zero") == 0


def test_labels_beyond_rank_k_keep_gap_below_one():
    labels = torch.tensor([[1, 1, 1, 0]])
    assert ranking.gap(torch.tensor([[0.9, 0.8, 0.7, 0.1]]), labels, k=2) == pytest.approx(2 / 3)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 4), st.integers(0, 999))
def test_plain_loops_without_ties(n, c, k, seed):
    scores, labels = random_videos(n, c, seed=seed)
    check_against_loops(scores, labels, k)


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(2, 4), st.integers(1, 2), st.integers(0, 999))
def test_plain_loops_with_ties(n, c, k, seed):
    # Eight items at most: the reference tries every order of tied ones.
    scores, labels = random_videos(n, c, levels=3, seed=seed)
    check_against_loops(scores - 1 / 3, labels, k)


def check_against_loops(scores, labels, k):
    s, y = scores.tolist(), labels.numpy()
    close = dict(rtol=0, atol=1e-12)
    np.testing.assert_allclose(ranking.gap(scores, labels, k), reference.gap(s, y, k), **close)
    for top_n in (None, 2):
        np.testing.assert_allclose(
            ranking.class_average_precision(scores, labels, k, top_n=top_n),
            reference.class_average_precision(s, y, k, top_n),
            **close,
        )
    everything = reference.class_average_precision(s, y, len(s[0]))
    np.testing.assert_allclose(ranking.class_average_precision(scores, labels, over="all"), everything, **close)
    np.testing.assert_allclose(ranking.hit_at_1(scores, labels), reference.hit_at_1(s, y), **close)
    np.testing.assert_allclose(ranking.perr(scores, labels), reference.perr(s, y), **close)


def test_scikit_learn_macro_average_over_all_scores():
    scores, labels = random_videos(300, 40, dtype=torch.float32)
    theirs = average_precision_score(labels.numpy(), scores.numpy(), average="macro")
    assert ranking.mean_average_precision(scores, labels, over="all") == pytest.approx(theirs, abs=1e-9)


def test_scikit_learn_pooled_top_k():
    scores, labels = random_videos(300, 40)
    top, classes = scores.topk(7)
    hits = labels.gather(1, classes)
    share = int(hits.sum()) / int(labels.sum())
    theirs = average_precision_score(hits.ravel().numpy(), top.ravel().numpy()) * share
    assert ranking.gap(scores, labels, 7) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.integers(2, 6), st.integers(0, 99))
def test_order_of_videos_changes_no_bit(name, random, levels, seed):
    scores, labels = random_videos(30, 25, levels, seed)
    order = list(range(30))
    random.shuffle(order)
    np.testing.assert_equal(ALL[name](scores[order], labels[order]), ALL[name](scores, labels))


@pytest.mark.parametrize("name", ALL)
@settings(deadline=None)
@given(st.integers(1, 9), st.integers(0, 99))
def test_only_the_order_of_scores_counts(name, levels, seed):
    scores, labels = random_videos(20, 25, levels, seed)
    scores += 0.5  # PERR counts only what is above 0
    np.testing.assert_equal(ALL[name](scores.exp() * 3, labels), ALL[name](scores, labels))


def test_ranked_summary_is_that_of_the_dense_functions():
    scores, labels = random_videos(60, 50, levels=40)
    ranked = rank(scores, labels, 30)
    assert ranked.num_truncated == 0
    summary = ranking.summary_of(ranked)
    assert summary == {name: ALL[name](scores, labels) for name in ("gap", "map", "hit_at_1", "perr")}
    zero = ranking.mean_average_precision(scores, labels, empty_classes="zero")
    assert ranking.summary_of(ranked, empty_classes="zero")["map"] == zero


def test_perr_of_few_ranks_is_a_lower_bound_and_says_so():
    scores, labels = random_videos(60, 50)
    labels[:3, :10] = True
    ranked = rank(scores, labels, 5)
    assert ranked.num_truncated == int((labels.sum(1) > 5).sum()) >= 3
    assert ranking.perr_of(ranked) < ranking.perr(scores, labels)


def test_perr_of_videos_with_very_many_labels():
    scores, labels = random_videos(12, 90)
    labels[::3] = torch.rand(4, 90, generator=torch.Generator().manual_seed(1)) < 0.7
    assert ranking.perr(scores, labels) == pytest.approx(reference.perr(scores.tolist(), labels.numpy()), abs=1e-12)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (
            torch.zeros(3, 4),
            torch.zeros(3, 5),
            r"scores and labels must have one shape \(N, C\), got \(3, 4\) and",
        ),
        (
            torch.zeros(4),
            torch.zeros(4),
            r"scores and labels must have one shape \(N, C\), got \(4,\) and \(4,\)$",
        ),
        (
            torch.zeros(0, 4),
            torch.zeros(0, 4),
            r"scores must hold at least one video and one class, got shape \(0, 4",
        ),
        (torch.zeros(3, 4).int(), torch.zeros(3, 4), "scores must be floating point, got torch.int32$"),
        (torch.eye(3).log() * 0, torch.zeros(3, 3), "scores must not be NaN, got NaN in row 0$"),
        (torch.zeros(3, 4), torch.ones(3, 4) * 2, "labels must be 0 or 1, got 2.0 in row 0, class 0$"),
        (
            torch.zeros(3, 4),
            torch.full((3, 4), torch.nan),
            "labels must be 0 or 1, got nan in row 0, class 0$",
        ),
    ],
)
def test_bad_input_is_one_sentence(name, scores, labels, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        ALL[name](scores, labels)


@pytest.mark.parametrize("name", ALL)
def test_bad_values_name_their_row(name, monkeypatch):
    monkeypatch.setattr("mmvid.metrics.ranked._BLOCK_SCORES", 50)
    scores, labels = random_videos(40, 10)
    scores[0, :2] = torch.tensor([torch.inf, -torch.inf])  # their sum is NaN, they are not
    ALL[name](scores, labels)
    wrong = labels.long()
    wrong[36, 3] = -1
    with pytest.raises(ValueError, match="^labels must be 0 or 1, got -1 in row 36, class 3$"):
        ALL[name](scores, wrong)
    scores[37, 4] = torch.nan
    with pytest.raises(ValueError, match="^scores must not be NaN, got NaN in row 37$"):
        ALL[name](scores, labels)


def test_bad_parameters():
    videos = random_videos(4, 5)
    with pytest.raises(ValueError, match="^k must be at least 1, got 0$"):
        ranking.gap(*videos, k=0)
    with pytest.raises(ValueError, match="^empty_classes must be 'zero' or 'drop', got 'skip'$"):
        ranking.mean_average_precision(*videos, empty_classes="skip")
    with pytest.raises(ValueError, match="^over must be 'top_k' or 'all', got 'top'$"):
        ranking.class_average_precision(*videos, over="top")
    for over in ("top_k", "all"):
        with pytest.raises(ValueError, match="^top_n must be at least 1, got 0$"):
            ranking.mean_average_precision(*videos, over=over, top_n=0)
