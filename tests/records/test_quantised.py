"""Quantised frames: the original's dequantisation to the bit, its inverse, and exact means."""

import numpy as np
import pytest
import torch

from mmvid.records.quantised import dequantise, mean_frame, pad_frames, quantise


def test_dequantise_is_the_originals_to_the_bit(golden):
    file = np.load(golden / "dequantize.npz")
    assert np.array_equal(dequantise(file["q"]), file["x"])
    assert np.array_equal(dequantise(torch.from_numpy(file["q"])).numpy(), file["x"])


def test_quantise_undoes_dequantise_over_any_range():
    every = np.arange(256, dtype=np.uint8)
    for low, high in ((-2, 2), (0, 1), (-7.5, 100)):
        assert np.array_equal(quantise(dequantise(every, low, high), low, high), every)
    assert quantise(np.array([-9.0, 9.0])).tolist() == [0, 255]


@pytest.mark.parametrize("frames", [1, 2, 257, 258, 300, 900])
def test_mean_frame_is_the_mean_of_the_dequantised(frames):
    rows = np.random.default_rng(frames).integers(200, 256, (frames, 5), dtype=np.uint8)
    expected = dequantise(rows).astype(np.float64).mean(axis=0)
    assert np.allclose(mean_frame(rows), expected, rtol=0, atol=1e-6)
    assert np.allclose(mean_frame(dequantise(rows)), expected, rtol=0, atol=1e-6)


def test_padding_comes_after_dequantising():
    rows = np.zeros((2, 3), np.uint8)
    padded = pad_frames(rows, 4)
    assert padded.dtype == np.float32
    assert padded.tolist() == [[-1.9921875] * 3] * 2 + [[0.0] * 3] * 2
    assert np.array_equal(pad_frames(dequantise(rows), 4), padded)
    assert np.array_equal(pad_frames(rows, 1), padded[:1])
