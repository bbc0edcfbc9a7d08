"""Folders of pictures and videos: masks of their own size, names, times, and files that are whole or not there."""

import warnings

import av
import numpy as np
import pytest
import torch
from PIL import Image

from mmvid.animation import write_mp4, write_png
from mmvid.segmentation import footage
from mmvid.segmentation.footage import find_footage, segment
from mmvid.segmentation.model import Segmentation
from mmvid.segmentation.package import SegmenterPackage
from mmvid.segmenters import unet

SEGMENT = SegmenterPackage.segment


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
    there = find_footage(str(folder))
    assert there.count == 21
    found = list(segment(package, there, tmp_path / "out", 0.5))
    assert [each.name for each in found] == sorted(path.name for path in there.pictures)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"00_mask.png", "00_overlay.png", "03.png_mask.png", "03.jpg_mask.png"} < names and len(names) == 42
    mask = np.asarray(Image.open(tmp_path / "out" / "05_mask.png"))
    assert set(np.unique(mask)) == {0, 255} and (mask == 255 * (scene(5)[..., 0] > 128)).mean() > 0.95
    assert np.asarray(Image.open(tmp_path / "out" / "03.jpg_mask.png")).shape == (60, 60)
    assert found[5].share == pytest.approx((mask > 0).mean()) and found[5].confidence > 0.9


def test_a_video_keeps_its_size_its_frames_and_their_times(package, tmp_path):
    frames = np.stack([scene(place)[:, :46] for place in range(20)])
    write_mp4(tmp_path / "push.mp4", frames, rate=10)
    there = find_footage(str(tmp_path / "push.mp4"))
    assert there.count == 20
    found = list(segment(package, there, tmp_path / "out", 0.5))
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
    there = find_footage(str(folder))
    with pytest.raises(ValueError, match="b.png must be a picture: "):
        list(segment(package, there, tmp_path / "out", 0.5))
    told = []
    assert [each.name for each in segment(package, there, tmp_path / "out", 0.5, told.append)] == ["a.png"]
    assert len(told) == 1 and "b.png must be a picture" in told[0]


def test_a_damaged_video_leaves_nothing(package, tmp_path):
    write_mp4(tmp_path / "whole.mp4", np.stack([scene(place) for place in range(12)]))
    content = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(content[: len(content) // 3])
    there = find_footage(str(tmp_path / "cut.mp4"))
    with pytest.raises(ValueError, match="cut.mp4: not a readable video"):
        list(segment(package, there, tmp_path / "out", 0.5))
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


def test_a_picture_of_too_many_pixels_is_refused(package, tmp_path, monkeypatch):
    write_png(tmp_path / "large.png", scene(1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 48 - 1)  # twice as many would be an error of Pillow's own
    warnings.simplefilter("ignore")  # pytest makes them errors, until this test ends
    with pytest.raises(ValueError, match="large.png must be a picture: Image size .* exceeds limit"):
        list(segment(package, find_footage(str(tmp_path / "large.png")), tmp_path / "out", 0.5))


def test_large_pictures_are_held_a_few_at_a_time(package, tmp_path, monkeypatch):
    held = []
    monkeypatch.setattr(footage, "PIXELS", 3 * 48 * 48)
    monkeypatch.setattr(
        SegmenterPackage, "segment", lambda self, those: held.append(len(those)) or SEGMENT(self, those)
    )
    for number in range(8):
        write_png(tmp_path / f"{number}.png", scene(number))
    assert len(list(segment(package, find_footage(str(tmp_path)), tmp_path / "out", 0.5))) == 8
    assert held == [3, 3, 2]


def test_frames_of_one_time_follow_each_other(package, tmp_path):
    write_mp4(tmp_path / "fast.mp4", np.stack([scene(place) for place in range(20)]), rate=2400)
    found = list(segment(package, find_footage(str(tmp_path / "fast.mp4")), tmp_path / "out", 0.5))
    masks, times = read(tmp_path / "out" / "fast_mask.mkv")
    assert len(masks) == len(found) and sorted(set(times)) == times


def test_a_video_whose_frames_change_their_size_is_told(package, tmp_path):
    with open(tmp_path / "two.mkv", "wb") as joined:
        for side in (32, 48):
            with av.open(str(tmp_path / "part.ts"), "w", format="mpegts") as container:
                stream = container.add_stream("mpeg2video", rate=25)
                stream.height, stream.width, stream.pix_fmt = side, side, "yuv420p"
                for place in range(12):
                    pixels = np.ascontiguousarray(scene(place)[:side, :side])
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                container.mux(stream.encode())
            joined.write((tmp_path / "part.ts").read_bytes())
    with pytest.raises(ValueError, match="two.mkv: .* of one size, they change from 32 x 32 to 48 x 48$"):
        list(segment(package, find_footage(str(tmp_path / "two.mkv")), tmp_path / "out", 0.5))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_with_the_name_of_a_picture_is_none(tmp_path):
    (tmp_path / "a.png").mkdir()
    write_png(tmp_path / "b.png", scene(0))
    assert [path.name for path in find_footage(str(tmp_path)).pictures] == ["b.png"]
