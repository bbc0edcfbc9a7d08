"""Shapes of labelling tools as pixels: run lengths against pycocotools, brushes against Label Studio's converter."""

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mmvid.clips.masks.brush import decode_brush
from mmvid.clips.masks.shapes import OtherSize, Shape, decode_runs, mask_picture, rasterise

# 6 x 9 pixels, written by `encode_rle` of label-studio-converter 0.0.59 for the mask of `painted`.
BRUSH = [
    *(0, 0, 0, 216, 57, 27, 254, 43, 0, 3, 252, 1, 64, 7, 161, 255, 0, 80, 1, 232, 127, 192, 20, 0, 122, 31, 240, 5),
    *(0, 30, 3, 255, 9, 128, 1, 254, 0, 160, 3, 208, 255, 128, 40, 0, 244, 63, 224, 10, 0, 61, 15, 248, 2, 128, 15, 1),
    *(255, 132, 192, 0, 255, 0, 80, 1, 232, 127, 192, 20, 0, 122, 31, 240, 5, 0, 30, 135, 252, 1, 64, 7, 128, 255),
    *(201, 224, 0, 127, 128, 40, 0, 240, 31, 224),
]


def painted() -> np.ndarray:
    mask = np.zeros((6, 9), bool)
    mask[1:4, 2:6] = mask[5, 8] = True
    return mask


def brushed(mask: np.ndarray, runs: bool) -> list[int]:
    """A mask as a brush writes it, bit by bit: all runs, or all literals of 16 values at most."""
    values = np.repeat(np.where(mask, 255, 0).reshape(-1, 1), 4, axis=1).ravel().tolist()
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    place = 0
    while place < len(values):
        if runs:
            length = 1
            while place + length < len(values) and values[place + length] == values[place] and length < 1 << 16:
                length += 1
            kind, size = next((kind, size) for kind, size in enumerate((3, 4, 8, 16)) if length <= 1 << size)
            bits += f"1{kind:02b}{length - 1:0{size}b}{values[place]:08b}"
        else:
            length = min(16, len(values) - place)
            bits += f"0{1:02b}{length - 1:04b}" + "".join(f"{each:08b}" for each in values[place : place + length])
        place += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


def random_masks(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.random(generator.integers(1, 30, 2)) < generator.random() for _ in range(count)]


def test_a_brush_of_label_studio():
    np.testing.assert_array_equal(decode_brush(BRUSH, 6, 9), painted())


@pytest.mark.parametrize("runs", [True, False])
def test_brushes_written_as_runs_and_as_literals(runs):
    for mask in random_masks(20):
        np.testing.assert_array_equal(decode_brush(brushed(mask, runs), *mask.shape), mask)


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (BRUSH[:-5], "a brush's rle ends too early, after 87 bytes"),
        (BRUSH[:3], "a brush's rle ends too early"),
        ([], "a brush's rle ends too early"),
        ([0, 0, 0, 9, *BRUSH[4:]], "a brush's rle must be of 216 values, 4 for each of 9 x 6 pixels, got 9"),
        ([256, *BRUSH], "a brush's rle must be a list of bytes"),
        ("0101", "a brush's rle must be a list of bytes"),
        ([[1, 2], [3, 4]], "a brush's rle must be a list of bytes"),
    ],
)
def test_a_damaged_brush_is_told(stream, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        decode_brush(stream, 6, 9)


def test_run_lengths_are_those_of_pycocotools():
    for mask in random_masks(50):
        packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
        np.testing.assert_array_equal(decode_runs(packed, *mask.shape), mask)
        column = mask.T.ravel()
        edges = np.flatnonzero(np.diff(column)) + 1
        lengths = np.diff([0, *edges, len(column)]).tolist()
        np.testing.assert_array_equal(decode_runs([0, *lengths] if column[0] else lengths, *mask.shape), mask)


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        ([5, 3], "the counts of a run-length mask must be whole numbers that come to 54, .* they come to 8"),
        ([60, -6], "the counts of a run-length mask must be whole numbers .* some are negative"),
        ([1.5, 52.5], "the counts of a run-length mask must be whole numbers .* they are none"),
        (None, "the counts of a run-length mask must be whole numbers .* they are none"),
        ("", "the counts of a run-length mask must be whole numbers .* they come to 0"),
        ("oooo", "the text of a run-length mask ends within a count"),
        ("o" * 40 + "0", "the text of a run-length mask is not COCO's packing"),
        ("5 3", "the text of a run-length mask is not COCO's packing"),
    ],
)
def test_run_lengths_that_are_not_the_picture_are_told(counts, sentence):
    """pycocotools gives whatever was in memory for some of them."""
    with pytest.raises(ValueError, match=f"^{sentence}"):
        decode_runs(counts, 6, 9)


def test_polygons_fill_what_they_enclose():
    square = Shape("robot", "polygons", [[2, 1, 6, 1, 6, 4, 2, 4]], (6, 9))
    wanted = painted()
    wanted[5, 8] = False
    np.testing.assert_array_equal(rasterise(square, 6, 9), wanted)
    both = Shape("robot", "polygons", [[2, 1, 6, 1, 6, 4, 2, 4], [8, 5, 9, 5, 9, 6, 8, 6]], (6, 9))
    np.testing.assert_array_equal(rasterise(both, 6, 9), painted())
    beyond = Shape("robot", "polygons", [[-3, -2, 12, -2, 12, 8, -3, 8]], (6, 9))
    assert rasterise(beyond, 6, 9).all()


@pytest.mark.parametrize(
    ("polygons", "sentence"),
    [
        ([[1, 1, 2, 2]], "a polygon must be at least three points"),
        ([[1, 1, 2, 2, 3]], "a polygon must be at least three points"),
        ([[1, 1, 2, 2, 3, float("nan")]], "a polygon must be at least three points"),
        ([[1, 1, 2, 2, 3, "4"]], "a polygon must be at least three points"),
        ([[1, 1, 2, 2, 3, 1e9]], "a polygon must lie near its 9 x 6 pixels, it has a point at 1000000000.0"),
        ([[1, 1, 2, 2, 3, 10**400]], "a polygon must lie near its 9 x 6 pixels, it has a point at 10{19}$"),
        ([], "a mask's segmentation must be polygons"),
        (None, "a mask's segmentation must be polygons"),
    ],
)
def test_what_is_no_polygon_is_told(polygons, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        rasterise(Shape("robot", "polygons", polygons, (6, 9)), 6, 9)


def test_a_shape_of_another_size_is_told():
    with pytest.raises(OtherSize, match="^a mask of robot is for 9 x 6 pixels, the picture has 10 x 6$"):
        rasterise(Shape("robot", "brush", BRUSH, (6, 9)), 6, 10)


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGB", "RGBA"])
def test_values_of_mask_pictures(mode, tmp_path):
    values = np.array([[0, 1, 1], [0, 0, 1]], np.uint8)
    picture = Image.fromarray(values * 255 if mode == "1" else values)
    if mode == "P":
        picture.putpalette([0, 0, 0, 200, 30, 40])
    elif mode == "I;16":
        picture = Image.fromarray(values.astype(np.uint16))
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / "mask.png")
    np.testing.assert_array_equal(mask_picture(Image.open(tmp_path / "mask.png"), "mask.png"), values)


def test_a_mask_with_colours_is_told():
    colours = np.zeros((2, 3, 3), np.uint8)
    colours[0, 0] = 255, 0, 0
    with pytest.raises(ValueError, match="^7.png: a mask must be grey or have a palette"):
        mask_picture(Image.fromarray(colours), "7.png")
