"""Frame features as YouTube-8M stores them: one byte a value, spread evenly over a range.

The original's scale belongs to a quantiser of 255 steps and its bias to one of 256, so 255 becomes 2.0078
instead of 2; kept, because every model trained on the data set has seen these numbers.

Source: google/youtube-8m, `utils.Dequantize` and the readers' padding.
"""

import numpy as np


def dequantise(q, low: float = -2.0, high: float = 2.0, out=None):
    """The float32 values of quantised features: `q * (high - low) / 255 + (high - low) / 512 + low`.

    Args:
        q: uint8 numpy array or torch tensor of any shape.
        low, high: the quantiser's range.
        out: of a tensor, the float32 tensor of its shape to write to.

    Returns:
        An array, or a tensor on the same device, of q's shape.
    """
    scale = (high - low) / 255
    bias = (high - low) / 512 + low
    if not isinstance(q, np.ndarray):
        return (q.float() if out is None else out.copy_(q)).mul_(scale).add_(bias)
    values = q.astype(np.float32)
    values *= np.float32(scale)
    values += np.float32(bias)
    return values


def quantise(values: np.ndarray, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """The bytes whose `dequantise` is nearest to `values`, uint8; what is outside the range is clipped."""
    bias = (high - low) / 512 + low
    steps = np.rint((np.asarray(values, np.float64) - bias) * (255 / (high - low)))
    return steps.clip(0, 255).astype(np.uint8)


def mean_frame(frames: np.ndarray, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """The mean over T frames, float32 ``(D,)``; bytes are summed exactly and dequantised afterwards.

    Args:
        frames: ``(T, D)``, uint8 or float32, T at least 1.
    """
    if frames.dtype != np.uint8:
        return frames.mean(axis=0, dtype=np.float64).astype(np.float32)
    total = np.zeros(frames.shape[1], np.uint32)
    for start in range(0, len(frames), 257):  # 257 * 255 still fits uint16, whose sums are twice as fast
        total += frames[start : start + 257].sum(axis=0, dtype=np.uint16)
    mean = total / len(frames)
    return (mean * ((high - low) / 255) + ((high - low) / 512 + low)).astype(np.float32)


def pad_frames(frames: np.ndarray, max_frames: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    """What the original readers hand to a model: dequantised, then cut or padded with zeros to `max_frames`.

    Args:
        frames: ``(T, D)``, uint8 or float32.

    Returns:
        float32 ``(max_frames, D)``. Padding comes after dequantising: padded rows are exactly 0.
    """
    kept = frames[:max_frames]
    padded = np.zeros((max_frames, frames.shape[1]), np.float32)
    padded[: len(kept)] = dequantise(kept, low, high) if kept.dtype == np.uint8 else kept
    return padded
