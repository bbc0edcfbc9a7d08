"""What a served segmenter answers, and its sentences for bad requests; the real server is in tests/steps."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmvid.requests import BadRequest
from mmvid.segmentation.model import Segmentation
from mmvid.segmentation.package import SegmenterPackage
from mmvid.segmentation_serving import LARGEST, Service, input_example
from mmvid.segmenters import unet


class Brightness(unet.Model):
    """Takes bright pixels for the mask: what is answered can be told from the picture."""

    def logits(self, x):
        return 20 * x.mean(1)


@pytest.fixture(scope="module")
def service() -> Service:
    torch.manual_seed(0)
    head = Brightness(unet.Config(widths=(4, 4)), (3, 16, 16), (16, 16))
    return Service(SegmenterPackage(Segmentation(head).eval(), (16, 16), ("robot",), 0.5, "key", "made"))


def encoded(pixels: np.ndarray, kind: str = "PNG", **options) -> str:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format=kind, **options)
    return base64.b64encode(content.getvalue()).decode()


def decoded(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    pixels = np.full((16, 16, 3), 20, np.uint8)
    pixels[4:10, 6:13] = 230
    return pixels


def test_a_png_a_jpeg_and_lists_give_the_same_mask(service, picture):
    given = [encoded(picture), encoded(picture, "JPEG", quality=100), picture.tolist(), picture[..., 0].tolist()]
    answers = service.answer([{"id": number, "picture": each} for number, each in enumerate(given)])
    for number, answer in enumerate(answers):
        assert (answer["id"], answer["height"], answer["width"]) == (number, 16, 16)
        assert np.array_equal(decoded(answer["mask"]), (picture[..., 0] > 128) * np.uint8(255))
        assert answer["share"] == pytest.approx(42 / 256) and answer["confidence"] > 0.99
        [[ring]] = answer["polygons"]
        assert np.allclose(np.array(ring).min(0), [6, 4], atol=0.6) and np.allclose(np.max(ring, 0), [13, 10], atol=0.6)


def test_the_address_of_a_picture_is_taken_as_browsers_write_it(service, picture):
    for kind in ("PNG", "JPEG"):
        answers = service.answer([{"picture": f"data:image/{kind.lower()};base64,{encoded(picture, kind)}"}])
        assert answers[0]["share"] == pytest.approx(42 / 256)


def test_the_mask_is_that_of_the_picture_as_people_see_it(service, picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera that was held upright stores its picture turned by 90 degrees
    stored = encoded(np.rot90(picture[:, 2:]), "JPEG", quality=100, exif=exif.tobytes())
    deep = encoded(picture[..., 0].astype(np.uint16) * 257)
    rotated, sixteen = service.answer([{"picture": stored}, {"picture": deep}])
    assert (rotated["height"], rotated["width"]) == (16, 14)
    assert np.array_equal(decoded(rotated["mask"])[2:-2], (picture[2:-2, 2:, 0] > 128) * np.uint8(255))
    assert np.array_equal(decoded(sixteen["mask"]), (picture[..., 0] > 128) * np.uint8(255))


def test_the_mask_has_the_size_of_the_picture(service, picture):
    large = picture.repeat(5, 0).repeat(5, 1)
    wide = np.pad(large, ((0, 0), (20, 20), (0, 0)), constant_values=255)  # beyond the square nothing is read
    answer = service.answer([{"picture": encoded(wide)}])[0]
    mask = decoded(answer["mask"])
    assert mask.shape == (80, 120) and not mask[:, :20].any() and not mask[:, 100:].any()
    assert (mask[:, 20:100] == (large[..., 0] > 128) * 255).mean() > 0.97


def test_threshold_scores_and_outlines_are_options(service, picture):
    grey = picture // 2 + 40  # from 50 to 155: probabilities from 0.002 to 0.9
    options = [{}, {"threshold": 0.95}, {"polygons": False, "scores": True}]
    plain, strict, bare = service.answer([{"picture": encoded(grey), "options": each} for each in options])
    assert decoded(plain["mask"]).any() and not decoded(strict["mask"]).any()
    assert strict["confidence"] == 0 and strict["polygons"] == []
    assert "polygons" not in bare and "scores" not in plain
    scores = decoded(bare["scores"]) / 255
    assert np.array_equal(scores >= 0.5, decoded(plain["mask"]) > 0)
    assert plain["confidence"] == pytest.approx(scores[scores >= 0.5].mean(), abs=0.01)


def test_answers_are_json(service, picture):
    json.dumps(service.answer([{"picture": encoded(picture), "options": {"scores": True}}]))
    json.dumps(service.answer(input_example(service.package)))


BOMB = encoded(np.zeros((10_000, 10_000), np.uint8))  # 100 megapixels in some kilobytes


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"picture": 3}, "record 0: picture must be a picture as base64 text, got int"),
        ({"picture": None}, "record 0: picture must be given"),
        ({}, "record 0: picture must be given"),
        ({"picture": "not base64!"}, "record 0: picture must be base64: "),
        (
            {"picture": base64.b64encode(b"hello").decode()},
            "record 0: picture must be a PNG or JPEG picture: its 5 bytes",
        ),
        ({"picture": ""}, "record 0: picture must be a PNG or JPEG picture"),
        ({"picture": encoded(np.zeros((4, 4), np.uint8), "GIF")}, "record 0: picture must be a PNG or JPEG picture"),
        ({"picture": encoded(np.arange(1600).reshape(40, 40).astype(np.uint8))[:100]}, "record 0: picture must be "),
        ({"picture": BOMB}, f"record 0: picture must have at most {LARGEST} pixels, it is 10000 x 10000"),
        ({"picture": []}, "record 0: picture must have at least one pixel, got none"),
        ({"picture": [[]]}, "record 0: picture must have at least one pixel, got none"),
        ({"picture": [[1, 2], [3]]}, "record 0: picture must have rows of one length"),
        ({"picture": [["a"]]}, "record 0: picture must be rows of pixels, whole numbers, or base64 text"),
        ({"picture": [[[1, 2]]]}, "record 0: picture must be of height x width, or x 3, got 1 x 1 x 2"),
        ({"picture": [1, 2, 3]}, "record 0: picture must be of height x width, or x 3, got 3"),
        ({"picture": [[0.5]]}, "record 0: picture must be whole numbers from 0 to 255"),
        ({"picture": [[256]]}, "record 0: picture must be whole numbers from 0 to 255"),
        ({"picture": [[float("nan")]]}, "record 0: picture must be whole numbers from 0 to 255"),
        ({"image": [[1]]}, "record 0: unknown key 'image'; there are id, picture, options"),
        ({"id": [1], "picture": [[1]]}, "record 0: id must be text or a whole number, got list"),
        ({"picture": [[1]], "options": 3}, "record 0: options must be an object, got 3"),
        ({"picture": [[1]], "options": {"threshold": 1}}, "record 0: threshold must be below 1"),
        ({"picture": [[1]], "options": {"size": 1}}, "record 0: size must not be given: there is no such option"),
    ],
)
def test_a_fault_is_one_sentence_and_http_400(service, record, sentence):
    with pytest.raises(BadRequest) as refused:
        service.answer([record])
    assert refused.value.sentence.startswith(sentence) and "\n" not in refused.value.sentence
    assert len(refused.value.sentence) < 300 and refused.value.get_http_status_code() == 400


def test_no_records_are_a_fault(service):
    with pytest.raises(BadRequest, match="^inputs must hold at least one record"):
        service.answer([])
