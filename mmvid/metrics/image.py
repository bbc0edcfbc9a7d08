"""How near pictures are to pictures, frame by frame (PSNR, SSIM), and sets of clips to sets of clips (Fréchet).

Sources: Wang, Bovik, Sheikh and Simoncelli 2004 (SSIM); Dowson and Landau 1982 (Fréchet distance of Gaussians), as
used by FID (Heusel et al. 2017) and FVD (Unterthiner et al. 2018).
"""

import torch
from torch import Tensor
from torch.nn import functional

LEAST_ERROR = 1e-10  # mean squared error below which pictures count as equal: 100 dB
WINDOW, SPREAD = 11, 1.5  # SSIM's Gaussian: pixels, standard deviation
STEADY = (0.01**2, 0.03**2)  # SSIM's C1 and C2 for pictures whose values span 1


def psnr(pictures: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture in decibels, (...); at most 100, which equal pictures have.

    Args:
        pictures: (..., 3, H, W), values that span 1.
        truth: the same shape.
    """
    _check(pictures, truth)
    error = (pictures.double() - truth.double()).square().mean(dim=(-3, -2, -1))
    return -10 * error.clamp_min(LEAST_ERROR).log10()


def ssim(pictures: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity of each picture, (...), at most 1: mean over channels and over whole windows of 11 x 11.

    Args:
        pictures: (..., 3, H, W), values that span 1; H and W at least 11.
        truth: the same shape.
    """
    _check(pictures, truth)
    if min(pictures.shape[-2:]) < WINDOW:
        raise ValueError(f"pictures must be at least {WINDOW} x {WINDOW}, got {tuple(pictures.shape[-2:])}")
    x, y = (each.double().flatten(0, -3)[:, None] for each in (pictures, truth))  # (N * 3, 1, H, W)
    mean_x, mean_y, xx, yy, xy = map(_blurred, (x, y, x * x, y * y, x * y))
    covariance = xy - mean_x * mean_y
    variances = xx - mean_x.square() + yy - mean_y.square()
    c1, c2 = STEADY
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity /= (mean_x.square() + mean_y.square() + c1) * (variances + c2)
    return similarity.mean(dim=(-3, -2, -1)).view(pictures.shape[:-2]).mean(dim=-1)


def by_step(clips: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """PSNR and SSIM of clips by time step.

    Args:
        clips: (B, 3, T, H, W), values that span 1.
        truth: the same shape.

    Returns:
        `psnr` and `ssim`, (B, T) each; `ssim` is left out of pictures that are too small for its window.
    """
    frames, true = clips.transpose(1, 2), truth.transpose(1, 2)  # (B, T, 3, H, W)
    found = {"psnr": psnr(frames, true)}
    return found | ({"ssim": ssim(frames, true)} if min(clips.shape[-2:]) >= WINDOW else {})


def frechet_distance(features: Tensor, other: Tensor) -> float:
    """The Fréchet distance |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)) of the Gaussians fitted to two sets of features.

    Args:
        features: (N, D), one row a sample; N at least 2.
        other: (M, D).

    The covariances are the unbiased ones. With few samples for D the distance is biased upwards: state N and M.
    """
    for name, each in (("features", features), ("other", other)):
        if each.ndim != 2 or len(each) < 2 or each.shape[1] != features.shape[1]:
            need = f"at least 2 rows of {features.shape[-1]} numbers"
            raise ValueError(f"{name} must be {need}, got {tuple(each.shape)}")
    (mean, covariance), (mean_other, covariance_other) = _gaussian(features), _gaussian(other)
    # The trace of (S S')^(1/2) is that of (R S' R)^(1/2) with R = S^(1/2), which is symmetric: no complex numbers.
    values, vectors = torch.linalg.eigh(covariance)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    shared = torch.linalg.eigvalsh(root @ covariance_other @ root).clamp_min(0).sqrt().sum()
    distance = (mean - mean_other).square().sum() + covariance.trace() + covariance_other.trace() - 2 * shared
    return float(distance.clamp_min(0))


def _gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    return features.double().mean(dim=0), torch.atleast_2d(torch.cov(features.double().T))


def _blurred(pictures: Tensor) -> Tensor:
    """Pictures (N, 1, H, W) under the Gaussian window, where the whole window fits."""
    offsets = torch.arange(WINDOW, dtype=pictures.dtype, device=pictures.device) - WINDOW // 2
    weights = torch.exp(-offsets.square() / (2 * SPREAD**2))
    weights = (weights / weights.sum()).view(1, 1, WINDOW, 1)
    return functional.conv2d(functional.conv2d(pictures, weights), weights.transpose(2, 3))


def _check(pictures: Tensor, truth: Tensor) -> None:
    if pictures.shape != truth.shape or pictures.ndim < 3:
        raise ValueError(
            f"pictures and truth must have one shape (..., channels, height, width), "
            f"got {tuple(pictures.shape)} and {tuple(truth.shape)}"
        )
