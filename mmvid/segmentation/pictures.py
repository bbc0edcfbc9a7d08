"""Masks for people and programs: overlays, a gallery with the worst first, PNG, polygons."""

import io

import contourpy
import numpy as np
from PIL import Image

from mmvid.animation import strip

TINT = (255, 64, 160)  # of a mask over a picture: a colour that neither robots nor tables have
RIGHT, MISSED, WRONG = (255, 255, 255), (255, 160, 0), (64, 96, 255)  # of a prediction beside the true mask
SHOWN = 12  # pictures in a gallery


def overlay(frame: np.ndarray, mask: np.ndarray, strength: float = 0.55) -> np.ndarray:
    """A frame uint8 (H, W, 3) with the pixels of a mask, bool (H, W), tinted."""
    tinted = frame.astype(np.float32)
    tinted[mask] += strength * (np.array(TINT, np.float32) - tinted[mask])
    return tinted.round().astype(np.uint8)


def compared(mask: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Two masks, bool (H, W), as a picture: white in both, orange where the prediction missed, blue where it erred."""
    picture = np.zeros((*mask.shape, 3), np.uint8)
    picture[mask & predicted], picture[mask & ~predicted], picture[~mask & predicted] = RIGHT, MISSED, WRONG
    return picture


def gallery(
    frames: np.ndarray, masks: np.ndarray, predicted: np.ndarray, overlaps: np.ndarray, ids: list[str]
) -> np.ndarray:
    """Frame, true mask, predicted mask and the two compared, a row a picture, the worst first, uint8 (h, w, 3).

    Two thirds of the rows are the worst pictures, the others lie evenly between them and the best.

    Args:
        frames: uint8 (N, H, W, 3).
        masks, predicted: bool (N, H, W).
        overlaps: the IoU of each, (N,).
        ids: the name of each.
    """
    order = np.argsort(overlaps, kind="stable")
    worst, rest = order[: SHOWN * 2 // 3], order[SHOWN * 2 // 3 :]
    spread = (
        rest[np.unique(np.linspace(0, len(rest) - 1, SHOWN - len(worst)).round().astype(int))] if len(rest) else rest
    )
    rows = {}
    for row in [*worst, *spread]:
        mask, guess = masks[row], predicted[row]
        pictures = [frames[row], grey(mask), grey(guess), compared(mask, guess)]
        rows[f"{ids[row]}: IoU {overlaps[row]:.3f}"] = np.stack(pictures)
    return strip(rows, scale=max(1, 128 // frames.shape[1]))


def grey(mask: np.ndarray) -> np.ndarray:
    """A mask as a black and white picture, uint8 (H, W, 3)."""
    return np.repeat(mask[..., None] * np.uint8(255), 3, axis=-1)


def png(values: np.ndarray) -> bytes:
    """A mask, bool (H, W), or probabilities in [0, 1], as a grey PNG of 0 to 255."""
    content = io.BytesIO()
    Image.fromarray((values * 255.0).round().astype(np.uint8)).save(content, format="PNG", optimize=False)
    return content.getvalue()


def polygons(scores: np.ndarray, threshold: float) -> list[list[list[list[float]]]]:
    """The outlines of where scores reach the threshold, as GeoJSON has them: [polygon][ring][point] = [x, y].

    A polygon's first ring is its outside, others are holes. The pixel in row r and column c covers x from c to c + 1
    and y from r to r + 1, its score is that of its middle: exactly the pixels whose middle is in a polygon are in the
    mask.

    Args:
        scores: (H, W), in [0, 1].
        threshold: above 0.
    """
    height, width = scores.shape
    padded = np.zeros((height + 2, width + 2))
    # An outline runs where a score is exactly the threshold: such a pixel is in the mask, and so must lie within.
    padded[1:-1, 1:-1] = np.where(scores >= threshold, np.maximum(scores, np.nextafter(threshold, 2)), scores)
    places = [np.arange(side + 2) - 0.5 for side in (width, height)]
    outlines = contourpy.contour_generator(*places, padded, fill_type=contourpy.FillType.OuterOffset)
    found, offsets = outlines.filled(threshold, np.inf)
    result = []
    for points, ends in zip(found, offsets, strict=True):
        points = points.clip(0, [width, height]).round(3)
        result.append([points[a:b].tolist() for a, b in zip(ends[:-1], ends[1:], strict=True)])
    return result
