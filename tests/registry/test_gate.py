"""The gate's decisions and its rules file."""

import math

import pytest

from mmvid.metrics.bootstrap import Interval
from mmvid.registry.gate import Rules, decide, read_rules

RULES = Rules(metric="gap", bars={"gap": 0.5, "map": 0.1}, gain=0.01, confidence=0)


def test_the_first_version_needs_the_bars_only():
    decision = decide({"gap": 0.6, "map": 0.2}, None, RULES)
    assert decision.passed
    assert decision.reasons == (
        "gap 0.6000 reaches the bar of 0.5000",
        "map 0.2000 reaches the bar of 0.1000",
        "there is no champion yet; the candidate has gap 0.6000",
    )


@pytest.mark.parametrize(
    ("candidate", "champion", "passed"),
    [
        ({"gap": 0.62, "map": 0.2}, {"gap": 0.60}, True),
        ({"gap": 0.61, "map": 0.2}, {"gap": 0.60}, False),  # exactly the gain is not more than the gain
        ({"gap": 0.60, "map": 0.2}, {"gap": 0.60}, False),
        ({"gap": 0.90, "map": 0.05}, {"gap": 0.60}, False),  # misses the bar of map
        ({"gap": 0.90}, {"gap": 0.60}, False),  # lacks map
        ({"gap": math.nan, "map": 0.2}, {"gap": 0.60}, False),
        ({"gap": 0.90, "map": 0.2}, {"gap": math.nan}, False),
    ],
)
def test_a_later_version_must_beat_the_champion(candidate, champion, passed):
    assert decide(candidate, champion, RULES).passed is passed


@pytest.mark.parametrize(
    ("gain", "passed", "reason"),
    [
        (
            Interval(0.1, 0.01, 0.2),
            True,
            "the gain is no noise: +0.1000, in 90 % of 500 draws of the data more than +0.0100",
        ),
        (
            Interval(0.1, 0.0, 0.2),
            False,
            "the gain may be noise: +0.1000, in 90 % of 500 draws of the data more than +0.0000",
        ),
        (
            Interval(0.1, math.nan, 0.2),
            False,
            "the gain may be noise: +0.1000, in 90 % of 500 draws of the data more than +nan",
        ),
        (None, False, "whether the gain is noise is not known: rules ask for 90 % and nothing was drawn"),
    ],
)
def test_the_gain_must_not_be_noise(gain, passed, reason):
    decision = decide({"gap": 0.6}, {"gap": 0.5}, Rules(confidence=0.9, draws=500), gain)
    assert (decision.passed, decision.reasons[-1]) == (passed, reason)


@pytest.mark.parametrize(
    ("slice_value", "passed"), [(0.5, True), (0.4, True), (0.38, False), (math.nan, False), (None, False)]
)
def test_a_slice_must_not_lose_more_than_its_bound(slice_value, passed):
    rules = Rules(confidence=0, losses={"rare": 0.1})
    candidate = {"gap": 0.6} | ({} if slice_value is None else {"rare/gap": slice_value})
    decision = decide(candidate, {"gap": 0.5, "rare/gap": 0.5}, rules)
    assert decision.passed is passed and decision.reasons[-1].startswith("rare/gap")


def test_a_slice_that_the_data_lack_hinders_nobody():
    decision = decide({"gap": 0.6}, {"gap": 0.5}, Rules(confidence=0, losses={"with_text": 0.0}))
    assert decision.passed and decision.reasons[-1] == "with_text/gap: the data have no such slice"


def test_hits_and_segments_are_compared_by_map_where_they_are_not_defined():
    assert Rules(metric="hit_at_1").slice_metric("rare") == "rare/map"
    assert Rules(metric="hit_at_1").slice_metric("with_text") == "with_text/hit_at_1"
    assert Rules(metric="segment_map").slice_metric("with_text") == "with_text/map"


@pytest.mark.parametrize(("milliseconds", "passed"), [(10.0, True), (10.5, False), (math.nan, False)])
def test_a_model_must_not_cost_too_much(milliseconds, passed):
    decision = decide({"gap": 0.6, "milliseconds": milliseconds}, None, Rules(most={"milliseconds": 10}))
    assert decision.passed is passed
    assert decision.reasons[0].startswith(f"milliseconds {milliseconds:g} {'keep' if passed else 'exceed'}")


def test_without_bars_a_candidate_without_the_metric_still_fails():
    assert not decide({}, None, Rules()).passed


def test_the_rules_of_the_project_are_readable():
    from pathlib import Path

    path = Path(__file__).resolve().parents[2] / "registry" / "models.yaml"
    for name in ("mmvid-logistic", "mmvid-moe", "mmvid-classifier"):
        assert read_rules(path, name).bars["gap"] > 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [", "models.yaml must be YAML: "),
        ("b: {}", "must state the rules of a; it states those of b$"),
        ("a: {gains: 1}", "models.yaml: a: gains must not be given: there is no such option$"),
        ("a: {losses: {rare: -1}}", "models.yaml: a: losses: rare must be at least 0, got -1.0$"),
        (
            "a: {most: {seconds: 1}}",
            "models.yaml: a: most.seconds.*must be 'parameters', 'megabytes' or 'milliseconds'",
        ),
        ("a: {gain: -1}", "models.yaml: a: gain must be at least 0.0, got -1$"),
    ],
)
def test_a_wrong_rules_file_is_one_sentence(text, sentence, tmp_path):
    (tmp_path / "models.yaml").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_rules(tmp_path / "models.yaml", "a")
