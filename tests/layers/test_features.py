"""Joining and normalising features."""

import pytest
import torch

from mmvid.layers.features import FeatureOptions, JoinedFeatures, l2_normalise

FEATURES = {"visual": torch.tensor([[3.0, 4.0], [0.0, 0.0]]), "audio": torch.tensor([[5.0], [2.0]])}
SIZES = {"visual": 2, "audio": 1}


def test_each_modality_has_length_one_by_default():
    joined = JoinedFeatures(FeatureOptions(), SIZES)(FEATURES)
    torch.testing.assert_close(joined, torch.tensor([[0.6, 0.8, 1.0], [0.0, 0.0, 1.0]]))


def test_joint_normalisation_is_over_the_whole():
    joined = JoinedFeatures(FeatureOptions(normalisation="joint"), SIZES)(FEATURES)
    torch.testing.assert_close(
        joined, torch.tensor([[3.0, 4.0, 5.0], [0.0, 0.0, 2.0]]) / torch.tensor([[50**0.5], [2]])
    )


def test_modalities_are_taken_in_the_order_asked():
    join = JoinedFeatures(FeatureOptions(modalities=("audio",), normalisation="none"), SIZES)
    assert join.size == 1
    torch.testing.assert_close(join(FEATURES), FEATURES["audio"])


def test_tiny_vectors_are_not_blown_up():
    assert l2_normalise(torch.full((1, 4), 1e-9)).norm() < 1e-2


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (("video",), "^modalities must be among visual, audio, got 'video'$"),
        (("audio", "audio"), "^modalities must be distinct, got 'audio' twice$"),
    ],
)
def test_a_wrong_modality_is_named(asked, sentence):
    with pytest.raises(ValueError, match=sentence):
        JoinedFeatures(FeatureOptions(modalities=asked), SIZES)
