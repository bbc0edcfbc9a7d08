"""Joining and normalising features."""

import pytest
import torch

from mmvid.layers.features import FusionOptions, JoinedFeatures, l2_normalise

FEATURES = {"visual": torch.tensor([[3.0, 4.0], [0.0, 0.0]]), "audio": torch.tensor([[5.0], [2.0]])}
SIZES = {"visual": 2, "audio": 1}


def test_each_modality_has_length_one_by_default():
    joined = JoinedFeatures(FusionOptions(), SIZES)(FEATURES, {})
    torch.testing.assert_close(joined, torch.tensor([[0.6, 0.8, 1.0], [0.0, 0.0, 1.0]]))


def test_joint_normalisation_is_over_the_whole():
    joined = JoinedFeatures(FusionOptions(normalisation="joint"), SIZES)(FEATURES, {})
    torch.testing.assert_close(
        joined, torch.tensor([[3.0, 4.0, 5.0], [0.0, 0.0, 2.0]]) / torch.tensor([[50**0.5], [2]])
    )


def test_modalities_are_taken_in_the_order_asked():
    join = JoinedFeatures(FusionOptions(modalities=("audio",), normalisation="none"), SIZES)
    assert join.size == 1
    torch.testing.assert_close(join(FEATURES, {}), FEATURES["audio"])


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
        JoinedFeatures(FusionOptions(modalities=asked), SIZES)


TEXT = {"audio": torch.full((4000, 1), 2.0), "title": torch.ones(4000, 4)}
HAS_TITLE = {"title": torch.arange(4000) % 2 == 0}


def with_title(training: bool, **options):
    torch.manual_seed(0)
    return JoinedFeatures(FusionOptions(**options), {"audio": 1, "title": 4})(
        {"audio": TEXT["audio"], "title": TEXT["title"] * HAS_TITLE["title"].unsqueeze(1)}, HAS_TITLE, training
    )


def test_a_bit_says_whether_a_video_has_a_title():
    joined = with_title(training=False, text_dropout=0.5)
    expected = torch.tensor([[1.0, 0.5, 0.5, 0.5, 0.5, 1.0], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(joined[:2], expected)
    assert with_title(training=False, presence_bits=False).shape[1] == 5


def test_titles_are_hidden_from_a_share_of_the_videos_in_training_only():
    joined = with_title(training=True, text_dropout=0.25)
    bits = joined[:, -1].bool()
    assert not bits[1::2].any() and abs(bits[::2].float().mean() - 0.75) < 0.04
    assert torch.equal(joined[:, 1:5].any(dim=1), bits) and (joined[:, 0] == 1).all()
    assert torch.equal(joined, with_title(training=True, text_dropout=0.25))
    assert with_title(training=True, text_dropout=0.0)[::2, -1].all()
