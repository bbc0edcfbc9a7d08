"""The readings of what "VideoGPT's latent" of one frame is: pixels (B, 3, H, W) to maps (B, C, h, w).

A still frame says nothing of motion, whatever the encoder: the frame ResNet of one frame is a 2-D network
(`layers.frame_resnet`), and a transformer that is given a still frame's codes sees a clip in which nothing moves. If
these maps know of motion, it is from what they were trained to predict.

Written t, h, w for the grid of codes, K for their number, D for the transformer's width.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mmvid.draws import Draws
from mmvid.encoders import videogpt
from mmvid.latents.sampling import Told, sample_codes, wait_for

Size = tuple[int, int, int]


def resnet(model: videogpt.Model, clips: Tensor) -> Tensor:
    """What the transformer is conditioned on: the frame ResNet's last group, 16 x 16 x 240 at BAIR's size.

    The paper's "finetuned 3D ResNet". Has gradients; what tells its places apart, which VideoGPT adds afterwards, is
    left out, as in the paper's figure.
    """
    return model.features(clips)[:, 0].movedim(-1, 1)


@torch.no_grad()
def codes_still(model: videogpt.Model, clips: Tensor) -> Tensor:
    """The VQ-VAE's codes of a clip that shows the frame again and again, (t, h, w), as numbers from 0 to K - 1.

    The caption of the paper's Table 1 ("axial attention of the 3D-VQVAE") can be read so. A code's number is a name:
    neighbours in number are not alike.
    """
    return _still(model, clips).float()


@torch.no_grad()
def codes_teacher(model: videogpt.Model, clips: Tensor) -> Tensor:
    """The likeliest code at each place of that clip, given the frame and the clip's codes before it, (t, h, w).

    One pass of the transformer instead of one a code: its output reduced to one channel for each latent frame.
    """
    codes = _still(model, clips)
    return model.logits(codes, _condition(model, clips)).argmax(-1).float()


@torch.no_grad()
def hidden(model: videogpt.Model, clips: Tensor) -> Tensor:
    """The transformer's features after its last block and norm, (D, h, w), of that clip's last latent frame.

    A place has seen the frame, and all codes before it: only in the last latent frame those of every place.
    """
    codes = _still(model, clips)
    [last] = deque(model.states(codes, _condition(model, clips)), maxlen=1)
    states = model.transformer.norm(last).view(*codes.shape, -1)
    return states[:, -1].movedim(-1, 1)


def codes_sampled(
    model: videogpt.Model,
    clips: Tensor,
    ids: Sequence[str],
    *,
    seed: int,
    temperature: float,
    told: Told | None = None,
) -> Tensor:
    """Codes of a clip that VideoGPT draws after having seen the frame, (t, h, w), as numbers from 0 to K - 1.

    The paper's most likely reading: programs that match it in all sizes keep `sample_frame`'s codes as floats, and
    4096 numbers are all that its fully connected layer of 4096 to 4096 can take. No code is forced, that of the frame
    itself is drawn as well. It takes one step of the transformer a code.

    Args:
        ids: draws belong to a picture's id: in other company it has the same, up to rounding.
        seed: of the draws.
        temperature: divides the logits; 0 takes the likeliest code.
        told: hears of each step.
    """
    uniform = uniforms(_places(model), ids, seed, "sampled codes")
    codes = sample_codes(model, _condition(model, clips), uniform.to(clips.device), temperature, told)
    return codes.float()


def noise(size: Size, ids: Sequence[str], seed: int) -> Tensor:
    """Uniform noise in [0, 1), float32 (B, *size): of a picture always the same.

    The paper's control. It gives the noise rows other masks than the real ones in one version of its programs, and has
    no baseline: compare with the same masks, and with `metrics.position_prior`.
    """
    values = uniforms(size[0] * size[1] * size[2], ids, seed, "noise")
    return values.view(len(ids), *size).float()


def uniforms(count: int, ids: Sequence[str], seed: int, purpose: str) -> Tensor:
    """Uniform numbers in [0, 1), float64 (B, count), those of an id always the same."""
    rows = [torch.from_numpy((Draws(seed, f"{purpose} of {id}").raw(count) >> 11).astype("float64")) for id in ids]
    return torch.stack(rows) * 2.0**-53


@torch.no_grad()
def timed(run: Callable[[], Tensor]) -> float:
    """Seconds of the second run: the first one pays for what is prepared once."""
    wait_for(run().device)
    started = time.monotonic()
    wait_for(run().device)
    return time.monotonic() - started


def _still(model: videogpt.Model, clips: Tensor) -> Tensor:
    frames = model.vqvae.config.sequence_length
    return model.vqvae.encode(clips.unsqueeze(2).expand(-1, -1, frames, -1, -1))


def _condition(model: videogpt.Model, clips: Tensor) -> Tensor | None:
    frames = model.config.conditioned_frames
    return model.conditioning(clips.unsqueeze(2).expand(-1, -1, frames, -1, -1)) if frames else None


def _places(model: videogpt.Model) -> int:
    time, height, width = model.grid
    return time * height * width


def _resnet_shape(model: videogpt.Model) -> Size:
    side = model.vqvae.config.resolution // 4
    return model.config.resnet_size, side, side


def _grid(model: videogpt.Model) -> Size:
    return model.grid


READINGS: dict[str, Callable[[videogpt.Model, Tensor], Tensor]] = {
    "resnet": resnet,
    "codes_still": codes_still,
    "codes_teacher": codes_teacher,
    "hidden": hidden,
}
SHAPES: dict[str, Callable[[videogpt.Model], Size]] = {
    "resnet": _resnet_shape,
    "codes_sampled": _grid,
    "codes_still": _grid,
    "codes_teacher": _grid,
    "hidden": lambda model: (model.config.width, *model.grid[1:]),
}
