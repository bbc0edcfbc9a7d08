"""Which frames a model reads: modalities, sampling, padding."""

import pytest
import torch

from mmvid.layers.features import FeatureOptions
from mmvid.layers.frames import FrameFeatures, SamplingOptions, sample_frames, unpack, valid_frames
from mmvid.records.batches import Batch

FEATURES, FRAMES = {"visual": 6, "audio": 3, "speech": 4}, {"visual": 6, "audio": 3}
LENGTHS = torch.tensor([1, 4, 9, 300])


def make_batch() -> Batch:
    torch.manual_seed(0)
    lengths = torch.tensor([2, 5])
    valid = (torch.arange(5) < lengths[:, None]).unsqueeze(-1)
    return Batch(
        ids=["a", "b"],
        features={name: torch.randn(2, size) for name, size in FEATURES.items()},
        frames={name: torch.randn(2, 5, size) * valid for name, size in FRAMES.items()},
        num_frames=lengths,
    )


def test_all_modalities_with_frames_are_read_where_none_are_named():
    reader = FrameFeatures(FeatureOptions(), FEATURES, FRAMES)
    assert (reader.modalities, reader.size, reader.beside) == (["visual", "audio"], 9, 0)


def test_a_modality_without_frames_stands_beside_them():
    reader, batch = FrameFeatures(FeatureOptions(modalities="speech,audio"), FEATURES, FRAMES), make_batch()
    assert (reader.framed, reader.size, reader.beside) == ({"audio": 3}, 3, 4)
    (vector,) = reader.vectors(batch)
    torch.testing.assert_close(vector, batch.features["speech"] / batch.features["speech"].norm(dim=1, keepdim=True))


def test_vectors_alone_are_no_frames():
    message = r"^modalities must hold one with frames \(visual, audio\), got speech$"
    with pytest.raises(ValueError, match=message):
        FrameFeatures(FeatureOptions(modalities="speech"), FEATURES, FRAMES)


@pytest.mark.parametrize("normalisation", ["per_modality", "joint", "none"])
def test_frames_taken_by_index_are_those_of_the_whole(normalisation):
    reader, batch = FrameFeatures(FeatureOptions(normalisation=normalisation), FEATURES, FRAMES), make_batch()
    index = torch.tensor([[0, 1, 0], [4, 2, 2]])
    whole = reader.frames(batch)
    torch.testing.assert_close(reader.frames(batch, index), torch.stack([whole[0, index[0]], whole[1, index[1]]]))
    norms = {"per_modality": 2**0.5, "joint": 1.0}
    if normalisation in norms:
        torch.testing.assert_close(whole[1].norm(dim=1), torch.full((5,), norms[normalisation]))
    assert not whole[0, 2:].any()


def test_drawn_frames_are_valid_and_every_frame_is_drawn():
    torch.manual_seed(0)
    index = sample_frames(LENGTHS, 5000, "frames")
    for row, length in zip(index, LENGTHS.tolist(), strict=True):
        counts = torch.bincount(row, minlength=length)
        assert len(counts) == length and (counts - 5000 / length).abs().max() < 6 * (5000 / length) ** 0.5


def test_a_run_is_of_neighbours_and_a_short_video_repeats_its_last_frame():
    torch.manual_seed(0)
    runs = torch.stack([sample_frames(LENGTHS, 4, "run") for _ in range(200)])
    assert (runs[:, 0] == 0).all() and (runs[:, 1] == torch.arange(4)).all()
    assert (runs[:, 2:].diff(dim=2) == 1).all()
    assert set(runs[:, 2, 0].tolist()) == set(range(6))  # 9 frames: starts 0..5
    assert (sample_frames(torch.tensor([2]), 4, "run") == torch.tensor([0, 1, 1, 1])).all()


@pytest.mark.parametrize("how", ["frames", "run"])
def test_a_fixed_draw_needs_no_random_state_and_no_company(how):
    torch.manual_seed(1)
    together = sample_frames(LENGTHS, 7, how, fixed=True)
    torch.manual_seed(2)
    alone = torch.cat([sample_frames(LENGTHS[i : i + 1], 7, how, fixed=True) for i in range(len(LENGTHS))])
    assert torch.equal(together, alone)


def test_packed_frames_come_back_to_their_places():
    batch = make_batch()
    valid, frames = valid_frames(batch), batch.frames["visual"]
    assert valid.tolist() == [[True, True, False, False, False], [True] * 5]
    assert frames[valid].shape == (7, 6)
    assert torch.equal(unpack(frames[valid], valid), frames)
    assert (unpack(frames[valid], valid, -1.0)[0, 2:] == -1).all()


@pytest.mark.parametrize(
    ("evaluation", "training", "how"),
    [("all", True, "frames"), ("all", False, "all"), ("fixed", False, "frames"), ("random", False, "frames")],
)
def test_what_is_drawn_in_training_and_in_scoring(evaluation, training, how):
    options = SamplingOptions(sampling="frames", evaluation=evaluation)
    assert options.drawn(training) == how
    assert options.stochastic == (evaluation == "random")
    assert not SamplingOptions(evaluation="random").stochastic  # there is nothing to draw
