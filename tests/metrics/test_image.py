"""PSNR and SSIM against torchmetrics and a plain SSIM, the Fréchet distance against scipy's matrix root."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from mmvid.metrics.image import by_step, frechet_distance, psnr, ssim


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(4, 3, 20, 24, generator=generator)
    return (truth + 0.1 * torch.randn(truth.shape, generator=generator)).clamp(0, 1), truth


def plain_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two channels (H, W), window by window."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    found = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (each[top : top + 11, left : left + 11] for each in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            variance_a, variance_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            similarity = (2 * mean_a * mean_b + 0.01**2) * (2 * covariance + 0.03**2)
            found.append(similarity / ((mean_a**2 + mean_b**2 + 0.01**2) * (variance_a + variance_b + 0.03**2)))
    return float(np.mean(found))


def test_psnr_is_torchmetrics_picture_by_picture(pictures):
    noisy, truth = pictures
    expected = [peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in zip(noisy, truth, strict=True)]
    torch.testing.assert_close(psnr(noisy, truth), torch.stack(expected).double(), rtol=1e-5, atol=1e-5)


def test_equal_pictures_have_100_decibels_and_similarity_1(pictures):
    _, truth = pictures
    assert psnr(truth, truth).tolist() == pytest.approx([100.0] * 4)
    assert ssim(truth, truth).tolist() == pytest.approx([1.0] * 4)


def test_ssim_is_the_formula_window_by_window(pictures):
    noisy, truth = (each[0].double().numpy() for each in pictures)
    expected = np.mean([plain_ssim(a, b) for a, b in zip(noisy, truth, strict=True)])
    assert float(ssim(*pictures)[0]) == pytest.approx(expected, abs=1e-10)


def test_ssim_is_torchmetrics_where_whole_windows_fit(pictures):
    noisy, truth = (each.double() for each in pictures)
    ssim_of = structural_similarity_index_measure
    _, everywhere = ssim_of(noisy, truth, data_range=1.0, reduction="none", return_full_image=True)
    whole = everywhere[..., 5:-5, 5:-5].mean(dim=(1, 2, 3))  # theirs also counts windows over a mirrored border
    torch.testing.assert_close(ssim(noisy, truth), whole, rtol=1e-6, atol=1e-6)


def test_steps_of_clips_are_told_apart(pictures):
    noisy, truth = (each.transpose(0, 1)[None] - 0.5 for each in pictures)  # (1, 3, 4, H, W): a clip of 4 frames
    found = by_step(noisy, truth)
    torch.testing.assert_close(found["psnr"][0], psnr(*pictures), rtol=1e-6, atol=1e-6)
    assert found["ssim"].shape == (1, 4)
    assert "ssim" not in by_step(noisy[..., :8, :8], truth[..., :8, :8])


@pytest.mark.parametrize("samples", [500, 5])  # 5 of 8 numbers: the covariances are singular
def test_the_frechet_distance_is_that_of_scipys_root(samples):
    generator = np.random.default_rng(0)
    first = generator.normal(size=(samples, 8)) @ generator.normal(size=(8, 8))
    second = generator.normal(1.0, 2.0, (samples + 3, 8))
    root = scipy.linalg.sqrtm(np.cov(first.T) @ np.cov(second.T)).real
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(np.cov(first.T) + np.cov(second.T) - 2 * root)
    found = frechet_distance(torch.from_numpy(first), torch.from_numpy(second))
    assert found == pytest.approx(expected, rel=1e-4)
    assert frechet_distance(torch.from_numpy(first), torch.from_numpy(first)) == pytest.approx(0, abs=1e-6)


def test_what_has_another_shape_is_refused(pictures):
    noisy, truth = pictures
    with pytest.raises(ValueError, match=r"^pictures and truth must have one shape .* got \(4, 3, 20, 24\) and "):
        psnr(noisy, truth[:2])
    with pytest.raises(ValueError, match=r"^pictures must be at least 11 x 11, got \(20, 5\)"):
        ssim(noisy[..., :5], truth[..., :5])
    with pytest.raises(ValueError, match=r"^other must be at least 2 rows of 3 numbers, got \(1, 3\)"):
        frechet_distance(torch.zeros(4, 3), torch.zeros(1, 3))
