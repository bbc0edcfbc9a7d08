"""Galleries, overlays, polygons and predictions on disk."""

import numpy as np
import pytest
from matplotlib.path import Path as Outline

from mmvid.segmentation import predictions
from mmvid.segmentation.pictures import compared, gallery, overlay, polygons
from mmvid.segmentation.predictions import MaskPredictions


def rasterised(found: list, height: int, width: int) -> np.ndarray:
    """Which pixels' middles are in an odd number of rings."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    middles = np.stack([columns.ravel(), rows.ravel()], axis=1)
    count = np.zeros(height * width, int)
    for polygon in found:
        for ring in polygon:
            count += Outline(np.array(ring)).contains_points(middles)
    return (count % 2 == 1).reshape(height, width)


@pytest.mark.parametrize("seed", range(4))
def test_polygons_hold_exactly_the_pixels_of_the_mask(seed):
    generator = np.random.default_rng(seed)
    coarse = generator.random((6, 8))
    scores = np.kron(coarse, np.ones((4, 4))) * 0.9 + generator.random((24, 32)) * 0.1
    assert np.array_equal(rasterised(polygons(scores, 0.5), 24, 32), scores >= 0.5)


def test_a_hole_is_a_ring_of_its_polygon_and_an_empty_mask_has_none():
    scores = np.zeros((20, 20))
    scores[2:18, 2:18], scores[8:12, 8:12] = 1, 0
    [polygon] = polygons(scores, 0.5)
    assert len(polygon) == 2
    assert np.array_equal(rasterised([polygon], 20, 20), scores > 0)
    assert polygons(np.zeros((5, 5)), 0.5) == []
    [[ring]] = polygons(np.ones((5, 7)), 0.5)  # a full mask reaches from edge to edge
    assert np.array(ring).min(0).tolist() == [0, 0] and np.array(ring).max(0).tolist() == [7, 5]


def test_the_gallery_begins_with_the_worst():
    generator = np.random.default_rng(0)
    frames = np.repeat(np.arange(20, dtype=np.uint8)[:, None, None, None], 3, -1).repeat(16, 1).repeat(16, 2)
    masks = generator.random((20, 16, 16)) < 0.3
    overlaps = generator.random(20)
    picture = gallery(frames, masks, masks, overlaps, [str(i) for i in range(20)])
    assert picture.shape == (12 * (12 + 128), 4 * 128 + 6, 3)
    shown = [picture[row * 140 + 70, 60, 0] for row in range(12)]
    assert shown[:8] == np.argsort(overlaps)[:8].tolist() and shown[-1] == overlaps.argmax()


def test_pictures_of_masks_tell_hits_from_misses():
    mask, guess = np.zeros((2, 2), bool), np.zeros((2, 2), bool)
    mask[0], guess[:, 0] = True, True
    assert compared(mask, guess).tolist() == [[[255] * 3, [255, 160, 0]], [[64, 96, 255], [0] * 3]]
    tinted = overlay(np.zeros((2, 2, 3), np.uint8), mask)
    assert (tinted[0] > 0).all() and not tinted[1].any()


def test_predictions_come_back_from_disk(tmp_path):
    scores = np.random.default_rng(0).random((3, 5, 7)).astype(np.float32)
    made = MaskPredictions(["a", "b", "c"], scores, np.array([0.1, 0.5, 1.0]), 0.4, "key")
    predictions.write(made, tmp_path / "masks.arrow")
    found = predictions.read(tmp_path / "masks.arrow")
    assert (found.ids, found.threshold, found.key) == (made.ids, 0.4, "key")
    assert np.abs(found.scores - scores).max() <= 0.5 / 255 + 1e-6
    assert np.array_equal(found.overlaps, made.overlaps)
    (tmp_path / "other").write_bytes(b"no arrow file")
    with pytest.raises(ValueError, match="other must hold predicted masks: Arrow"):
        predictions.read(tmp_path / "other")
