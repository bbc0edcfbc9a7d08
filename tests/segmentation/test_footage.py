"""Folders of pictures and videos: masks of their own size, names, times, and files that are whole or not there."""

import av
import numpy as np
import pytest
import torch
from PIL import Image

from mmvid.animation import write_mp4, write_png
from mmvid.segmentation.footage import find_footage, segment
from mmvid.segmentation.model import Segmentation
from mmvid.segmentation.package import SegmenterPackage
from mmvid.segmenters import unet


class Brightness(unet.Model):
    """Takes bright pixels for the mask."""

    def logits(self, x):
        return 20 * x.mean(1)


@pytest.fixture(scope="module")
def package() -> SegmenterPackage:
    torch.manual_seed(0)
    head = Brightness(unet.Config(widths=(4, 4)), (3, 16, 16), (16, 16))
    return SegmenterPackage(Segmentation(head).eval(), (16, 16), ("robot",), 0.5, "key", "made")


def scene(place: int, side: int = 48) -> np.ndarray:
    picture = np.full((side, side, 3), 20, np.uint8)
    picture[6:24, place : place + 18] = 235
    return picture


def read(path) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = list(container.decode(container.streams.video[0]))
        return np.stack([frame.to_ndarray(format="gray") for frame in frames]), [frame.time for frame in frames]


def test_a_folder_gets_a_mask_and_an_overlay_of_each_picture(package, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(20):
        write_png(folder / f"{number:02d}.png", scene(number))
    Image.fromarray(scene(3, 60)).save(folder / "03.jpg", quality=95)
    (folder / "notes.txt").write_text("no picture")
    footage = find_footage(str(folder))
    assert footage.count == 21
    found = list(segment(package, footage, tmp_path / "out", 0.5))
    assert [each.name for each in found] == sorted(path.name for path in footage.pictures)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"00_mask.png", "00_overlay.png", "03.png_mask.png", "03.jpg_mask.png"} < names and len(names) == 42
    mask = np.asarray(Image.open(tmp_path / "out" / "05_mask.png"))
    assert set(np.unique(mask)) == {0, 255} and (mask == 255 * (scene(5)[..., 0] > 128)).mean() > 0.95
    assert np.asarray(Image.open(tmp_path / "out" / "03.jpg_mask.png")).shape == (60, 60)
    assert found[5].share == pytest.approx((mask > 0).mean()) and found[5].confidence > 0.9


def test_a_video_keeps_its_size_its_frames_and_their_times(package, tmp_path):
    frames = np.stack([scene(place)[:, :46] for place in range(20)])
    write_mp4(tmp_path / "push.mp4", frames, rate=10)
    footage = find_footage(str(tmp_path / "push.mp4"))
    assert footage.count == 20
    found = list(segment(package, footage, tmp_path / "out", 0.5))
    assert [each.name for each in found] == [str(number) for number in range(20)]
    masks, times = read(tmp_path / "out" / "push_mask.mkv")
    assert masks.shape == (20, 48, 46) and set(np.unique(masks)) == {0, 255}
    assert times == pytest.approx([number / 10 for number in range(20)], abs=2e-3)
    assert [(mask > 0).mean() for mask in masks] == pytest.approx([each.share for each in found])
    overlays, shown = read(tmp_path / "out" / "push_overlay.mp4")
    assert overlays.shape == (20, 48, 46) and shown == pytest.approx(times, abs=2e-3)


def test_a_damaged_picture_stops_or_is_told(package, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_png(folder / "a.png", scene(1))
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:60])
    footage = find_footage(str(folder))
    with pytest.raises(ValueError, match="b.png must be a picture: "):
        list(segment(package, footage, tmp_path / "out", 0.5))
    told = []
    assert [each.name for each in segment(package, footage, tmp_path / "out", 0.5, told.append)] == ["a.png"]
    assert len(told) == 1 and "b.png must be a picture" in told[0]


def test_a_damaged_video_leaves_nothing(package, tmp_path):
    write_mp4(tmp_path / "whole.mp4", np.stack([scene(place) for place in range(12)]))
    content = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 3])
    footage = find_footage(str(tmp_path / "cut.mp4"))
    with pytest.raises(ValueError, match="cut.mp4: not a readable video"):
        list(segment(package, footage, tmp_path / "out", 0.5))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere", "^input must be a folder of pictures, a picture or a video, there is no "),
        ("empty", "^input must be a folder with pictures .* has none"),
        ("notes.txt", "^input must be a picture .* or a video .*, got "),
    ],
)
def test_what_is_no_footage_is_refused(tmp_path, name, sentence):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(ValueError, match=sentence):
        find_footage(str(tmp_path / name))
