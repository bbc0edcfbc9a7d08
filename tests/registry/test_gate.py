"""The gate's decisions and its rules file."""

import math

import pytest

from mmvid.registry.gate import Rules, decide, read_rules

RULES = Rules(metric="gap", bars={"gap": 0.5, "map": 0.1}, gain=0.01)


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
        ("a: {gain: -1}", "models.yaml: a: gain must be at least 0.0, got -1$"),
    ],
)
def test_a_wrong_rules_file_is_one_sentence(text, sentence, tmp_path):
    (tmp_path / "models.yaml").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_rules(tmp_path / "models.yaml", "a")
