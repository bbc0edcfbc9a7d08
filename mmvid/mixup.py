"""Mixup: a batch of videos becomes one of mixtures of two (Zhang et al. 2018, arXiv:1710.09412).

Video-level features are mixed number by number, frames frame by frame. Two videos seldom have as many frames, and a
padded frame is no frame: so that every valid frame is a mixture of two real ones, a video's partner is cut to its
length, or repeated from its start on. The video has the larger share, so its length and order are kept. Labels are
mixed by the same shares, and so are the losses of segments, whose labels are rated for some classes only.
"""

import dataclasses

import torch
from torch import Tensor

from mmvid.layers.frames import valid_frames
from mmvid.records.batches import Batch


def mix(batch: Batch, beta: float) -> Batch:
    """Mixes each video with another one of the batch, drawn by torch's random state, which a checkpoint carries.

    Args:
        batch: labelled videos without words.
        beta: both parameters of the Beta distribution that shares are drawn from, one a video; the larger of a share
            and its complement is the video's own.
    """
    count = len(batch)
    drawn = torch.distributions.Beta(beta, beta).sample((count,))  # on the CPU, whatever the batch is on
    own, partner = torch.maximum(drawn, 1 - drawn), torch.randperm(count)
    own, partner = own.to(batch.labels.device), partner.to(batch.labels.device)

    def blended(values: Tensor, others: Tensor) -> Tensor:
        share = own.to(values.dtype).view(-1, *[1] * (values.dim() - 1))
        return share * values + (1 - share) * others

    labels = batch.labels.to(own.dtype)
    weights = batch.weights
    if weights is None:
        mixed = blended(labels, labels[partner])
    else:  # a label counts as much as its own video's weight
        mixed = blended(labels * weights, (labels * weights)[partner])
        weights = blended(weights, weights[partner])
        mixed = mixed / weights.clamp_min(torch.finfo(weights.dtype).tiny)
    result = dataclasses.replace(
        batch,
        features={name: blended(values, values[partner]) for name, values in batch.features.items()},
        presence={name: there | there[partner] for name, there in batch.presence.items()},
        labels=mixed,
        weights=weights,
    )
    if batch.frames:
        frame = _partners_frames(batch.num_frames, partner, valid_frames(batch).shape[1])
        valid = valid_frames(batch).unsqueeze(-1)
        result.frames = {
            name: torch.where(valid, blended(frames, frames[partner[:, None], frame]), 0.0)
            for name, frames in batch.frames.items()
        }
    return result


def _partners_frames(num_frames: Tensor, partner: Tensor, longest: int) -> Tensor:
    """Which frame of its partner goes with each frame of a video, int64 (B, T)."""
    return torch.arange(longest, device=num_frames.device) % num_frames[partner][:, None]
