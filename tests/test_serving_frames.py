"""What a served model that reads frames takes and answers."""

import numpy as np
import pytest
import torch

from mmvid import classifiers, packaging, serving
from mmvid.records.batches import Batch, Shapes
from mmvid.records.quantised import dequantise
from mmvid.records.schema import load_schema
from mmvid.requests import BadRequest
from mmvid.serving import Service

SIZES = {"visual": 1024, "audio": 128}


@pytest.fixture(scope="module")
def package() -> packaging.Package:
    torch.manual_seed(0)
    shapes = Shapes(classes=100, features=SIZES, frames=SIZES)
    member = classifiers.load("dbof")
    model = member.Model(member.Config(projection=64, hidden=32), shapes).eval()
    labels = [f"label {i}" for i in range(100)]
    return packaging.Package("dbof", model.config, shapes, load_schema("demo"), labels, "key", model)


def test_frames_of_several_lengths_are_scored_as_they_are(package):
    random = np.random.default_rng(0)
    videos = [{name: random.integers(0, 256, (length, size)) for name, size in SIZES.items()} for length in (3, 7)]
    records = [{"rgb": video["visual"].tolist(), "audio": video["audio"].tolist()} for video in videos]
    scores = Service(package).scores(records)
    for video, row in zip(videos, scores, strict=True):
        frames = {name: torch.from_numpy(dequantise(value.astype(np.uint8)))[None] for name, value in video.items()}
        batch = Batch(ids=[""], frames=frames, num_frames=torch.tensor([len(video["audio"])]))
        np.testing.assert_allclose(row, package.model(batch)[0].detach(), atol=1e-6)


def test_a_modality_that_is_not_sent_is_zeros(package):
    audio = np.random.default_rng(1).integers(0, 256, (5, 128))
    (row,) = Service(package).scores([{"audio": audio.tolist()}])
    frames = {"visual": torch.zeros(1, 5, 1024), "audio": torch.from_numpy(dequantise(audio.astype(np.uint8)))[None]}
    batch = Batch(ids=[""], frames=frames, num_frames=torch.tensor([5]))
    np.testing.assert_allclose(row, package.model(batch)[0].detach(), atol=1e-6)


def test_a_mean_is_not_taken_for_frames(package):
    with pytest.raises(BadRequest, match="^record 0: unknown key 'mean_audio'; there are id, rgb, audio, options$"):
        Service(package).answer([{"mean_audio": [0.1] * 128}])


def test_the_example_can_be_answered(package):
    (answer,) = Service(package).answer(serving.input_example(package))
    assert len(answer["labels"]) == 3
