"""Pictures of any kind as they are read: upright, in 8 bits, and refused where their numbers have no range."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from mmvid.clips.pictures import as_seen, fault, fitted

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), np.uint8)


def stored(pixels: np.ndarray, kind: str = "PNG", **options) -> Image.Image:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **options)
    return Image.open(content)


def turned(number: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = number
    return exif.tobytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("number", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(number, kind):
    wanted = ImageOps.exif_transpose(stored(PIXELS, kind, exif=turned(number)))
    np.testing.assert_array_equal(fitted(stored(PIXELS, kind, exif=turned(number)), None), np.asarray(wanted))


def test_damaged_exif_turns_nothing():
    content = io.BytesIO()
    Image.fromarray(PIXELS).save(content, "JPEG", exif=turned(6)[:-8])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow's, on opening it
        assert as_seen(Image.open(content)).size == (20, 12)


def test_grey_of_16_bits_keeps_its_levels():
    grey = np.arange(240, dtype=np.uint16).reshape(12, 20)
    np.testing.assert_array_equal(fitted(stored(grey * 257), None)[..., 1], grey)


def test_numbers_without_a_range_are_refused():
    with pytest.raises(ValueError, match="^its pixels must have 8 or 16 bits a channel, they are of Pillow's mode F"):
        fitted(stored(np.ones((4, 4), np.float32), "TIFF"), None)


def test_a_truncated_picture_is_no_whole_one():
    content = io.BytesIO()
    Image.fromarray(PIXELS).save(content, "PNG")
    with pytest.raises(OSError, match="truncated"):
        as_seen(Image.open(io.BytesIO(content.getvalue()[:200])))


def test_what_is_no_picture_is_told_without_the_name_of_an_object():
    with pytest.raises(OSError) as raised:
        Image.open(io.BytesIO(b"hello"))
    assert fault(raised.value) == "it is of no known kind"
