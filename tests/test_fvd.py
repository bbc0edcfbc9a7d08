"""FVD from I3D's outputs by hand, its protocol beside it, and clips that it cannot be had of."""

import pytest
import torch
from made_clips import square_clips

from mmvid.clips.batches import ClipBatch
from mmvid.clips.loader import ClipLoader
from mmvid.encoders import videogpt, vqvae
from mmvid.fvd import measure_fvd
from mmvid.metrics.i3d import I3D
from mmvid.metrics.image import frechet_distance


def small(frames: int) -> videogpt.Model:
    sizes = {"sequence_length": frames, "resolution": 16, "stride": (2, 8, 8), "codes": 8, "code_size": 4, "hidden": 8}
    source = vqvae.Model(vqvae.Config(**sizes, residual_layers=1))
    return videogpt.Model(videogpt.Config(width=12, heads=2, layers=1, resnet_width=4, resnet_size=12), source).eval()


@torch.no_grad()
def test_the_distance_is_that_of_the_outputs_with_the_protocol_beside_it():
    torch.manual_seed(0)
    model, network = small(10), I3D().eval()
    clips = torch.rand(2, 3, 10, 16, 16) - 0.5
    found = measure_fvd(model, network, [_batch(clips)], 5, samples=2, temperature=0)
    made = model.sample(4, clips[:, :, :1].repeat_interleave(2, 0), temperature=0)
    by_hand = frechet_distance(network(clips).double(), network(made).double())
    assert found.distance == pytest.approx(by_hand, rel=1e-3) and found.distance > 0
    protocol = {"fvd/clips": 2, "fvd/samples": 2, "fvd/frames": 10, "fvd/given": 1}
    assert found.metrics() == {"fvd": found.distance} | protocol


@torch.no_grad()
def test_clips_of_classes_are_compared_with_predictions_of_their_classes():
    torch.manual_seed(0)
    source, network = small(10).vqvae, I3D().eval()
    sizes = {"conditioned_frames": 0, "categories": 3, "width": 12, "heads": 2, "layers": 1}
    model = videogpt.Model(videogpt.Config(**sizes), source).eval()
    torch.nn.init.normal_(model.output.weight)
    clips, classes = torch.rand(2, 3, 10, 16, 16) - 0.5, torch.tensor([2, 0])
    found = measure_fvd(model, network, [_batch(clips, classes)], 2, samples=1, temperature=0)
    made = model.sample(2, classes=classes, temperature=0)
    assert not torch.equal(made[0], made[1])
    by_hand = frechet_distance(network(clips).double(), network(made).double())
    assert found.distance == pytest.approx(by_hand, rel=1e-3) and found.given == 0


def test_clips_that_are_too_short_are_told(tmp_path):
    loader = ClipLoader(square_clips(tmp_path / "clips"), "validate", 2, frames=4, windows="first")
    with pytest.raises(ValueError, match="^FVD needs clips of 9 frames or more, this model's have 4$"):
        measure_fvd(small(4), I3D().eval(), loader, 2, samples=1)


def _batch(clips, classes=None):
    names = [str(number) for number in range(len(clips))]
    return ClipBatch(ids=names, clips=clips, trajectory=names, classes=classes)
