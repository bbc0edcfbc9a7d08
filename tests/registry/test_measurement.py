"""A model on `gate`: metrics that agree with evaluation, slices, costs, and gains that are held to the same data."""

import dataclasses

import numpy as np
import pytest
import torch

from mmvid import classifiers
from mmvid.metrics import ranking
from mmvid.packaging import Package
from mmvid.records import ingest
from mmvid.records.demo import DemoConfig, make_demo
from mmvid.records.store import Store
from mmvid.registry import measurement


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("measured")
    make_demo(folder / "demo", DemoConfig(videos=400, frame_videos=0, seed=3))
    return ingest.ingest(folder / "demo" / "video", "demo", folder / "store", progress=False)


def package(store: Store, seed: int) -> Package:
    """A mixture of experts that has not been trained."""
    torch.manual_seed(seed)
    member = classifiers.load("moe")
    model = member.Model(member.Config(), store.shapes).eval()
    return Package("moe", member.Config(), store.shapes, store.schema, store.names, f"key{seed}", model)


@pytest.fixture(scope="module")
def pair(store):
    return [measurement.measure(package(store, seed), store) for seed in (0, 1)]


def test_the_bootstrap_measures_what_evaluation_measures(pair, store):
    measured = pair[0]
    ones = np.ones(measured.videos, int)
    drawn = {name: measure(ones) for name, measure in measured.measures.items()}
    wanted = {name: measured.metrics[name] for name in drawn if name in measured.metrics}
    assert {"gap", "with_text/gap", "without_text/map", "rare/gap", "rare/map"} <= wanted.keys()
    assert {name: drawn[name] for name in wanted} == pytest.approx(wanted, abs=1e-12)
    assert measured.videos == store.count("gate") == len(measured.predictions)


def test_rare_is_the_half_of_the_classes_with_fewest_videos(pair, store):
    rare, counts = measurement.rare_classes(store), store.label_counts("train")
    assert rare.sum() == store.shapes.classes // 2 and counts[rare].max() <= counts[~rare].min()
    precisions = ranking.class_average_precision_of(pair[0].predictions.ranked()).numpy()
    assert pair[0].metrics["rare/map"] == pytest.approx(np.nanmean(precisions[rare]))


def test_costs_are_those_of_the_model(pair, store):
    model = package(store, 0).model
    count = sum(parameter.numel() for parameter in model.parameters())
    assert pair[0].metrics["parameters"] == count and 0 < pair[0].metrics["milliseconds"] < 1000
    assert pair[0].metrics["megabytes"] >= 4 * count / 1e6


def test_a_model_has_no_gain_over_itself_and_the_opposite_gain_the_other_way(pair):
    wanted = {"draws": 100, "confidence": 0.9, "seed": 0}
    assert measurement.gain_of(pair[0], pair[0], "gap", **wanted) == (0.0, 0.0, 0.0)
    there, back = (measurement.gain_of(*order, "gap", **wanted) for order in (pair, pair[::-1]))
    assert there.value == -back.value == pytest.approx(pair[0].metrics["gap"] - pair[1].metrics["gap"], abs=1e-12)
    assert there.low < there.value and back.low < back.value


def test_models_are_compared_on_the_same_data_only(pair):
    other = dataclasses.replace(pair[1], digest="another")
    with pytest.raises(ValueError, match="^candidate and champion must be measured on the same data, got .* another$"):
        measurement.gain_of(pair[0], other, "gap", draws=100, confidence=0.9, seed=0)
    with pytest.raises(ValueError, match="^segment_map must be defined on the data; there are gap, map, "):
        measurement.gain_of(*pair, "segment_map", draws=100, confidence=0.9, seed=0)


def test_intervals_hold_their_values(pair):
    found = measurement.intervals(pair[0], draws=100, confidence=0.9, seed=0)
    assert found.keys() == pair[0].measures.keys()
    for name, interval in found.items():
        assert interval.low <= interval.value <= interval.high, name
