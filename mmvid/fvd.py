"""FVD (Unterthiner et al. 2018, arXiv:1812.01717) of a model's predictions, with the I3D weights of the user.

The published figures for BAIR compare 256 test clips with 100 predictions of each, the first 16 frames of both. Numbers
of another protocol, or of other weights, cannot be compared with them: what was used stands beside the distance.
"""

import dataclasses
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from mmvid.clip_evaluation import device_of, first_clips
from mmvid.clips.batches import ClipBatch
from mmvid.encoders import videogpt
from mmvid.metrics.i3d import I3D
from mmvid.metrics.image import frechet_distance

SHORTEST = 9  # frames that I3D needs
AT_ONCE = 8  # clips that go through a network together


@dataclasses.dataclass(frozen=True)
class VideoDistance:
    """A Fréchet video distance, and what it was computed from.

    Attributes:
        distance: lower is better.
        clips: true clips.
        samples: predictions of each of them.
        frames: of each clip, the given ones among them.
        given: first frames that the predictions are conditioned on.
    """

    distance: float
    clips: int
    samples: int
    frames: int
    given: int

    def metrics(self) -> dict[str, float]:
        """The distance and its protocol, by the names that they are logged under."""
        values = dataclasses.asdict(self)
        return {"fvd": float(values.pop("distance"))} | {f"fvd/{name}": float(value) for name, value in values.items()}


@torch.no_grad()
def measure_fvd(
    model: videogpt.Model,
    network: I3D,
    batches: Iterable[ClipBatch],
    clips: int,
    *,
    samples: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
    progress: Callable[[int], None] = lambda clips: None,
) -> VideoDistance:
    """FVD between the first `clips` clips and predictions from their first frames.

    Args:
        model: in evaluation mode; of a model of classes, the clips must have theirs.
        network: I3D, on the model's device.
        batches: whole clips, as long as the model's.
        clips: true clips at most.
        samples: predictions of each.
        temperature, top_k: see `Model.sample_codes`.
        seed: of the samples.
        progress: called with the number of clips predicted, after each some.

    Raises:
        ValueError: if the clips are too short for I3D, or fewer than two.
    """
    frames, given = model.vqvae.config.sequence_length, model.config.conditioned_frames
    if frames < SHORTEST:
        raise ValueError(f"FVD needs clips of {SHORTEST} frames or more, this model's have {frames}")
    generator = torch.Generator(device_of(model)).manual_seed(seed)
    true: list[Tensor] = []
    made: list[Tensor] = []
    for batch in first_clips(batches, clips):
        whole = batch.clips.to(device_of(model))
        true += [network(part).double().cpu() for part in whole.split(AT_ONCE)]
        for rows in torch.arange(len(whole)).repeat_interleave(samples).split(AT_ONCE):
            predicted = model.sample(
                len(rows),
                whole[rows, :, :given] if given else None,
                batch.classes[rows].to(whole.device) if model.config.categories and batch.classes is not None else None,
                temperature=temperature,
                top_k=top_k or None,
                generator=generator,
            )
            made.append(network(predicted).double().cpu())
            progress(len(rows))
    count = sum(map(len, true))
    if count < 2:
        raise ValueError(f"FVD needs at least 2 clips, got {count}")
    return VideoDistance(frechet_distance(torch.cat(true), torch.cat(made)), count, samples, frames, given)
