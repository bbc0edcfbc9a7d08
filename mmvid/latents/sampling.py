"""Codes of several pictures drawn together, each by its own numbers; and how long that will take.

A draw is the code at which the probabilities, summed in the order of the codes, pass a uniform number.
"""

import sys
import time

import torch
from torch import Tensor
from tqdm import tqdm

from mmvid.encoders import videogpt
from mmvid.layers.sparse_attention import BLOCK

_STEPS = 3  # timed at each of the places below
_TELL_SECONDS = 60


class Told:
    """Tells how far the codes of the present pictures are: a bar on a terminal, else a line now and then."""

    def __init__(self, pictures: int):
        self.pictures, self.done, self.told = pictures, 0, time.monotonic()
        self.bar: tqdm | None = None

    def __call__(self, batch: int, index: int, total: int) -> None:
        """Hears that `index` of `total` codes of `batch` pictures are drawn."""
        if self.bar is None:
            self.bar = tqdm(
                total=total, desc=f"codes of {batch} pictures", leave=False, disable=not sys.stderr.isatty()
            )
        self.bar.update(1)
        if self.bar.disable and time.monotonic() - self.told > _TELL_SECONDS:
            self.told = time.monotonic()
            sys.stderr.write(
                f"codes_sampled: {self.done} pictures done, {100 * index // total} % of the next {batch}\n"
            )
        if index == total:
            self.bar.close()
            self.bar, self.done = None, self.done + batch


@torch.no_grad()
def sample_codes(
    model: videogpt.Model, condition: Tensor | None, uniform: Tensor, temperature: float, told: Told | None = None
) -> Tensor:
    """Codes int64 (B, t, h, w).

    Args:
        model: in evaluation mode.
        condition: what it is conditioned on, as `model.conditioning` gives it.
        uniform: a number in [0, 1) for each code, (B, t h w).
        temperature: divides the logits; 0 takes the likeliest code.
        told: hears of each step.
    """
    batch, total = uniform.shape
    decoder = model.decoder(batch, condition, None)
    codes = torch.empty(batch, total, dtype=torch.long, device=uniform.device)
    previous = None
    for index in range(total):
        logits = decoder.step(previous)
        if temperature == 0:
            previous = logits.argmax(-1)
        else:
            sums = (logits.double() / temperature).softmax(-1).cumsum(-1)  # (B, K)
            previous = torch.searchsorted(sums, uniform[:, index, None] * sums[:, -1:], right=True)[:, 0]
            previous = previous.clamp(max=sums.shape[1] - 1)
        codes[:, index] = previous
        if told is not None:
            told(batch, index + 1, total)
    return codes.view(batch, *model.grid)


@torch.no_grad()
def estimate_steps(model: videogpt.Model, batch: int) -> float:
    """Seconds to draw the codes of `batch` pictures, from a few steps at the beginning, in the middle and at the end.

    A step reads the keys and values of all codes before it, so its time grows with its place: straight lines between
    the places that are timed.
    """
    total = model.grid[0] * model.grid[1] * model.grid[2]
    side, frames = model.vqvae.config.resolution, model.config.conditioned_frames
    condition = None
    if frames:
        weight = model.input.weight
        condition = model.conditioning(weight.new_zeros(1, 3, frames, side, side)).expand(batch, -1, -1)
    decoder = model.decoder(batch, condition, None)
    codes = torch.zeros(batch, dtype=torch.long, device=model.input.weight.device)
    places = sorted({0, total // 2 // BLOCK * BLOCK, max(0, total - 1) // BLOCK * BLOCK})
    times = []
    decoder.step(None)  # prepares what is prepared once
    wait_for(codes.device)
    for place in places:
        decoder.done = place  # the keys and values before it are never written: their time is that of true ones
        steps = min(_STEPS, total - place)
        started = time.monotonic()
        for _ in range(steps):
            decoder.step(codes)
        wait_for(codes.device)
        times.append((time.monotonic() - started) / steps)
    ends = [*places[1:], total]
    later = [*times[1:], times[-1]]
    return sum(
        (end - place) * (now + then) / 2 for place, end, now, then in zip(places, ends, times, later, strict=True)
    )


def wait_for(device: torch.device) -> None:
    """Returns when a GPU has done what it was given; a CPU has when it is asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
