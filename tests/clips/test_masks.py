"""Exports of labelling tools become stores of frames and masks; what is wrong with one is told, or counted."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mmvid.clips.loader import ClipLoader
from mmvid.clips.masks.index import places_below, split_of
from mmvid.clips.masks.ingest import find_masks, ingest_masks, instances
from mmvid.clips.masks.options import MaskOptions
from mmvid.clips.store import ClipStore
from mmvid.labelled import shared_trajectories

HEIGHT, WIDTH = 6, 9
SQUARE = [2, 1, 6, 1, 6, 4, 2, 4]  # x 2 to 5, y 1 to 3


def square() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[1:4, 2:6] = True
    return mask


def corner() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[5, 8] = True
    return mask


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Writes a picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def packed(mask: np.ndarray) -> dict:
    found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": found["counts"].decode()}


def coco(folder: Path, names: list[str], labelled: list[tuple[int, str, object]], **changes) -> dict:
    """A COCO document of pictures by number, written beside them; `labelled`: picture, category, segmentation."""
    categories = {"things": 0, "block": 1, "robot": 2}
    document = {
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "images": [
            {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH} for number, name in enumerate(names)
        ],
        "annotations": [
            {"id": number, "image_id": image, "category_id": categories[name], "segmentation": segmentation}
            for number, (image, name, segmentation) in enumerate(labelled)
        ],
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_annotations.coco.json").write_text(json.dumps(document))
    return document


@pytest.fixture
def export(tmp_path) -> Path:
    """A Roboflow export: two pictures of train, one of valid; polygons, and run lengths of both kinds."""
    folder = tmp_path / "export"
    for seed, name in enumerate(("train/3_1.png", "train/3_2.png", "valid/4_1.png")):
        picture(folder / name, seed)
    uncompressed = {"size": [HEIGHT, WIDTH], "counts": [53, 1]}
    train = [(0, "robot", [SQUARE]), (0, "block", packed(corner())), (1, "robot", [SQUARE]), (1, "robot", uncompressed)]
    coco(folder / "train", ["3_1.png", "3_2.png"], train)
    coco(folder / "valid", ["4_1.png"], [(0, "block", uncompressed)])
    return folder


def masks_of(store: ClipStore) -> dict[str, np.ndarray]:
    return {
        entry.id: store.masks(split, row)[0] for split in store.splits for row, entry in enumerate(store.entries(split))
    }


def taken(data: Path, folder: Path, *, mask_format: str = "auto", on_error: str = "stop", **options) -> ClipStore:
    chosen = MaskOptions(**options)
    return ingest_masks(str(data), folder, mask_format=mask_format, options=chosen, on_error=on_error, progress=False)


def test_coco_by_category_name(export, tmp_path):
    store = taken(export, tmp_path / "store", categories=("robot", "block"))
    assert store.categories == ("robot", "block") and store.name == "coco"
    assert {split: store.count(split) for split in store.splits} == {"train": 2, "validate": 1}
    assert [entry.trajectory for entry in store.entries("train")] == ["3", "3"]
    found = masks_of(store)
    np.testing.assert_array_equal(found["train/3_1"], [square(), corner()])
    np.testing.assert_array_equal(found["train/3_2"], [square() | corner(), np.zeros_like(square())])
    np.testing.assert_array_equal(found["validate/4_1"], [np.zeros_like(square()), corner()])
    np.testing.assert_array_equal(store.frames("train", 1)[0], picture(tmp_path / "again.png", 1))
    notes = {"pictures that show no block": 1, "pictures that show no robot": 1}
    assert store.contents.notes == notes
    (batch,) = ClipLoader(store, "train", 8, frames=1, windows="first")
    assert batch.clips.shape == (2, 3, 1, HEIGHT, WIDTH) and batch.masks.shape == (2, 2, HEIGHT, WIDTH)


def test_without_categories_all_that_are_labelled(export, tmp_path):
    assert taken(export, tmp_path / "store").categories == ("block", "robot")


def test_other_categories_are_counted(export, tmp_path):
    store = taken(export, tmp_path / "store", categories=("robot",))
    assert store.contents.notes == {"masks of block, not asked for": 2, "pictures that show no robot": 1}
    skipped = taken(export, tmp_path / "skipped", categories=("robot",), empty_mask="skip")
    assert skipped.splits == ["train"]
    assert skipped.contents.notes["pictures that show none of the categories, left out"] == 1


def test_an_empty_mask_can_stop(export, tmp_path):
    with pytest.raises(ValueError, match="4_1.png: it shows no robot; see empty_mask$"):
        taken(export, tmp_path / "store", categories=("robot",), empty_mask="stop")
    store = taken(export, tmp_path / "store", categories=("robot",), empty_mask="stop", on_error="skip")
    assert store.contents.skipped.reasons == {"empty mask": 1}


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        (("arm",), "has no category 'arm'; labelled are block (2), robot (3)"),
        (("robot", "things"), "has category 'things', but nothing is labelled so; labelled are block (2), robot (3)"),
    ],
)
def test_an_unknown_category_is_told(export, tmp_path, wanted, sentence):
    with pytest.raises(ValueError) as raised:
        taken(export, tmp_path / "store", categories=wanted)
    assert str(raised.value) == f"{export} {sentence}"
    assert not (tmp_path / "store").exists()


def test_a_picture_without_a_mask(export, tmp_path):
    picture(export / "train" / "5_1.png", 9)
    with pytest.raises(ValueError, match="5_1.png: nobody labelled this picture; without_mask says what to do"):
        taken(export, tmp_path / "store")
    skipped = taken(export, tmp_path / "store", without_mask="skip")
    assert skipped.count("train") == 2 and skipped.contents.notes["pictures without a mask, left out"] == 1
    empty = taken(export, tmp_path / "store", without_mask="empty")
    assert empty.count("train") == 3 and empty.contents.notes["pictures without a mask, taken as empty"] == 1
    assert not masks_of(empty)["train/5_1"].any()
    counted = taken(export, tmp_path / "store", on_error="skip")
    assert counted.contents.skipped.reasons == {"no mask": 1} and counted.count("train") == 2


def test_what_does_not_fit_the_picture_is_told_or_counted(export, tmp_path):
    picture(export / "train" / "3_2.png", 1, (HEIGHT, WIDTH + 1))
    sentence = "3_2.png: a mask of robot is for 9 x 6 pixels, the picture has 10 x 6$"
    with pytest.raises(ValueError, match=sentence):
        taken(export, tmp_path / "store")
    store = taken(export, tmp_path / "store", on_error="skip")
    assert store.contents.skipped.reasons == {"size": 1} and store.count("train") == 1


def test_a_missing_and_a_damaged_picture(export, tmp_path):
    (export / "train" / "3_2.png").unlink()
    (export / "train" / "3_1.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ValueError, match="3_1.png: not a readable picture"):
        taken(export, tmp_path / "store")
    store = taken(export, tmp_path / "store", on_error="skip")
    assert store.contents.skipped.reasons == {"missing picture": 1, "picture": 1} and store.splits == ["validate"]


@pytest.mark.parametrize("name", ["", None, "./", 7])
def test_an_image_without_a_name_is_told(export, tmp_path, name):
    path = export / "train" / "_annotations.coco.json"
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"{path}: image 0 must have the name of a picture, got {name!r}$"):
        taken(export, tmp_path / "store")


def test_a_picture_that_its_exif_turns_has_the_masks_that_people_drew(tmp_path):
    picture(tmp_path / "export" / "7.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # held upright: stored turned
    with Image.open(tmp_path / "export" / "7.png") as upright:
        upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "export" / "7.png", exif=exif.tobytes())
    coco(tmp_path / "export", ["7.png"], [(0, "robot", [SQUARE])])
    store = taken(tmp_path / "export", tmp_path / "store", splits="draw")
    assert next(iter(masks_of(store).values())).shape == (1, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ("segmentation", "sentence"),
    [
        ([[1, 2, 3]], "robot: a polygon must be at least three points"),
        ({"size": [HEIGHT, WIDTH], "counts": [3, 4]}, "robot: the counts of a run-length mask must be whole numbers"),
        (None, "robot: a mask's segmentation must be polygons"),
    ],
)
def test_a_damaged_mask_is_told(export, tmp_path, segmentation, sentence):
    coco(export / "train", ["3_1.png", "3_2.png"], [(0, "robot", segmentation), (1, "robot", [SQUARE])])
    with pytest.raises(ValueError, match=f"3_1.png: {sentence}"):
        taken(export, tmp_path / "store", categories=("robot",))


def test_a_shape_without_a_pixel_is_counted(export, tmp_path):
    tiny = [[1.2, 1.2, 1.3, 1.2, 1.3, 1.3]]
    coco(export / "train", ["3_1.png", "3_2.png"], [(0, "robot", tiny), (1, "robot", [SQUARE])])
    assert taken(export, tmp_path / "store").contents.notes["shapes of robot without a pixel"] == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"annotations": [{"id": 4, "image_id": 7, "category_id": 2}]}, "annotation 4 is of image 7, which the file"),
        ({"annotations": [{"id": 4, "image_id": 0, "category_id": 9}]}, "annotation 4 is of category 9, which the"),
        ({"images": [{"id": 0}]}, "not COCO's format: KeyError"),
        ({"images": [3]}, "not COCO's format: TypeError"),
        ({"images": [{"id": 0, "file_name": "3_1.png"}] * 2}, "two images, or two categories, have one id"),
    ],
)
def test_a_damaged_annotation_file_is_told(export, tmp_path, changes, sentence):
    coco(export / "train", ["3_1.png", "3_2.png"], [(0, "robot", [SQUARE])], **changes)
    with pytest.raises(ValueError, match=f"_annotations.coco.json: {sentence}"):
        taken(export, tmp_path / "store")


def test_cocos_own_layout_with_pictures_elsewhere(tmp_path):
    for seed, name in enumerate(("train2017/000000000009.png", "val2017/000000000025.png")):
        picture(tmp_path / "pictures" / name, seed)
    for split, name in (("train", "000000000009.png"), ("val", "000000000025.png")):
        coco(tmp_path / "annotations", [name], [(0, "robot", [SQUARE])])
        (tmp_path / "annotations" / "_annotations.coco.json").rename(
            tmp_path / "annotations" / f"instances_{split}2017.json"
        )
    store = taken(tmp_path / "annotations", tmp_path / "store", frames=str(tmp_path / "pictures"))
    assert {split: store.count(split) for split in store.splits} == {"train": 1, "validate": 1}


def test_splits_are_drawn_by_trajectory(tmp_path):
    names = [f"traj_{scene}_frame_{frame}.png" for scene in range(10) for frame in range(4)]
    for seed, name in enumerate(names):
        picture(tmp_path / "export" / name, seed)
    coco(tmp_path / "export", names, [(number, "robot", [SQUARE]) for number in range(len(names))])
    store = taken(tmp_path / "export", tmp_path / "store")
    assert {split: store.count(split) for split in store.splits} == {"train": 28, "dev": 4, "validate": 8}
    places = {split: {entry.trajectory for entry in store.entries(split)} for split in store.splits}
    assert sum(map(len, places.values())) == 10 == len(set.union(*places.values()))
    assert taken(tmp_path / "export", tmp_path / "other").digest == store.digest
    frames = taken(tmp_path / "export", tmp_path / "frames", split_by="frame")
    places = {split: {entry.trajectory for entry in frames.entries(split)} for split in frames.splits}
    assert {split: frames.count(split) for split in frames.splits} == {"train": 28, "dev": 4, "validate": 8}
    assert places["train"] & places["validate"]  # as the paper has it
    assert shared_trajectories(frames) > 0 == shared_trajectories(store)
    named = taken(tmp_path / "export", tmp_path / "named", trajectory=r"traj_\d+_frame_(\d+)", splits="draw")
    assert {entry.trajectory for split in named.splits for entry in named.entries(split)} == set("0123")


def test_folders_are_trajectories_and_roboflows_copies_are_one(tmp_path):
    copies = [f"9_png.rf.{letter * 32}.png" for letter in "ab"]
    names = [*(f"scene{letter}/{frame}.png" for letter in "ab" for frame in (7, 8)), *copies]
    for seed, name in enumerate(names):
        picture(tmp_path / "export" / name, seed)
    coco(tmp_path / "export", names, [(number, "robot", [SQUARE]) for number in range(len(names))])
    store = taken(tmp_path / "export", tmp_path / "store")
    found = {entry.id: entry.trajectory for split in store.splits for entry in store.entries(split)}
    assert set(found.values()) == {"scenea", "sceneb", "train/9"}


def test_a_folder_is_a_splits_by_its_whole_name(tmp_path):
    for seed, name in enumerate(("val2017/1.png", "test_run/2.png", "data/training/3.png")):
        picture(tmp_path / "export" / name, seed)
    places = [place for place in places_below(str(tmp_path / "export")) if place.is_picture]
    assert {place.stem: split_of(place) for place in places} == {"1": "validate", "2": None, "3": "train"}
    coco(tmp_path / "export", ["val2017/1.png", "test_run/2.png"], [(0, "robot", [SQUARE]), (1, "robot", [SQUARE])])
    with pytest.raises(
        ValueError, match="test_run/2.png lies in no split's folder, other pictures do; or say splits=draw"
    ):
        taken(tmp_path / "export", tmp_path / "store")


def test_one_trajectory_cannot_be_divided(tmp_path):
    names = [f"v0_{frame}.png" for frame in range(4)]
    for name in names:
        picture(tmp_path / "export" / name)
    coco(tmp_path / "export", names, [(number, "robot", [SQUARE]) for number in range(4)])
    with pytest.raises(ValueError, match="all 4 pictures are of one trajectory, 'v0'; say what a trajectory is"):
        taken(tmp_path / "export", tmp_path / "store")
    assert taken(tmp_path / "export", tmp_path / "store", split_by="frame").splits == ["train", "dev", "validate"]
    with pytest.raises(ValueError, match=r"trajectory '\(x\)' must match each picture, not .*v0_0.png"):
        taken(tmp_path / "export", tmp_path / "store", trajectory="(x)")


def test_a_trajectory_in_two_published_splits_is_told(export, tmp_path):
    (export / "valid" / "4_1.png").rename(export / "valid" / "3_9.png")
    coco(export / "valid", ["3_9.png"], [(0, "block", [SQUARE])])
    with pytest.raises(ValueError, match="trajectory '3' lies in train and in validate; say what a trajectory is with"):
        taken(export, tmp_path / "store")
    assert taken(export, tmp_path / "store", split_by="frame").count("validate") == 1


def test_instances_one_by_one(export):
    found = {name: labelled for name, _, labelled in instances(str(export))}
    assert [each.category for each in found["train/3_2"]] == ["robot", "robot"]
    np.testing.assert_array_equal(found["train/3_2"][0].mask, square())
    np.testing.assert_array_equal(found["train/3_2"][1].mask, corner())


def save_mask(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def test_mask_pictures_with_values(tmp_path):
    folder = tmp_path / "export"
    for split, seed in (("train", 0), ("test", 1)):
        picture(folder / split / "images" / "7.jpg", seed)
        save_mask(folder / split / "masks" / "7.png", 1 * square() + 30 * corner())
    values = ("robot=1", "block=20-30")
    store = taken(folder, tmp_path / "store", categories=("block", "robot"), mask_values=values)
    assert store.name == "png" and store.splits == ["train", "validate"]
    np.testing.assert_array_equal(masks_of(store)["train/images/7"], [corner(), square()])
    whole = taken(folder, tmp_path / "whole", categories=("robot",))
    np.testing.assert_array_equal(masks_of(whole)["train/images/7"], [square() | corner()])
    assert taken(folder, tmp_path / "plain").categories == ("mask",)
    ((_, _, labelled), _) = instances(str(folder), options=MaskOptions(categories=("robot",)))
    assert len(labelled) == 2  # each value is one
    with pytest.raises(ValueError, match="has values that mask_values leaves out: 30$"):
        taken(folder, tmp_path / "store", mask_values=("robot=1",))
    with pytest.raises(ValueError, match="say what the values of masks are with mask_values"):
        taken(folder, tmp_path / "store", categories=("robot", "block"))


@pytest.mark.parametrize("layout", ["images/train/7.png masks/train/7.png", "train/7.png train/7_mask.png"])
def test_other_places_of_mask_pictures(tmp_path, layout):
    frame, mask = layout.split()
    picture(tmp_path / "export" / frame)
    save_mask(tmp_path / "export" / mask, 255 * square())
    store = taken(tmp_path / "export", tmp_path / "store", categories=("robot",))
    (found,) = masks_of(store).values()
    np.testing.assert_array_equal(found, [square()])


def test_a_folder_of_masks_for_each_category_and_pictures_elsewhere(tmp_path):
    for seed in (7, 8):
        picture(tmp_path / "pictures" / f"{seed}.jpg", seed)
        save_mask(tmp_path / "drawn" / "robot" / f"{seed}.png", 255 * square())
    save_mask(tmp_path / "drawn" / "block" / "8.png", 255 * corner())
    store = taken(tmp_path / "drawn", tmp_path / "store", frames=str(tmp_path / "pictures"))
    assert store.categories == ("block", "robot")
    np.testing.assert_array_equal(masks_of(store)["train/8"], [corner(), square()])
    save_mask(tmp_path / "drawn" / "block" / "9.png", 255 * corner())
    with pytest.raises(ValueError, match="9.png: there is no picture for this mask$"):
        taken(tmp_path / "drawn", tmp_path / "store", frames=str(tmp_path / "pictures"))


def test_mask_pictures_that_do_not_fit(tmp_path):
    picture(tmp_path / "export" / "images" / "7.jpg")
    save_mask(tmp_path / "export" / "masks" / "7.png", np.ones((HEIGHT, WIDTH + 2)))
    with pytest.raises(ValueError, match="7.jpg: its mask 7.png has 11 x 6 pixels, the picture 9 x 6$"):
        taken(tmp_path / "export", tmp_path / "store")
    (tmp_path / "export" / "masks" / "7.png").rename(tmp_path / "export" / "masks" / "7.jpg")
    with pytest.raises(ValueError, match="7.jpg: a mask must be a picture without loss, such as PNG$"):
        taken(tmp_path / "export", tmp_path / "store")


def test_one_with_nothing_to_see(tmp_path):
    for seed in (7, 8):
        picture(tmp_path / "export" / "images" / f"{seed}.jpg", seed)
        save_mask(tmp_path / "export" / "masks" / f"{seed}.png", 255 * square() * (seed == 7))
    store = taken(tmp_path / "export", tmp_path / "store", categories=("robot",))
    notes = {"pictures that count as a trajectory each": 2, "pictures that show no robot": 1}
    assert store.contents.notes == notes and len(masks_of(store)) == 2


def task(name: str, results: list[dict], **changes) -> dict:
    annotation = {"result": results, "was_cancelled": False, "updated_at": "2026-01-02"}
    return {"id": 1, "data": {"image": name}, "annotations": [annotation], "predictions": []} | changes


def result(kind: str, label: str, **value) -> dict:
    sizes = {"original_width": WIDTH, "original_height": HEIGHT}
    return {"type": kind, **sizes, "value": {kind: [label], **value}}


def brush(mask: np.ndarray) -> list[int]:
    """As a brush writes it, in runs of one value, see `test_mask_shapes`."""
    values = np.repeat(np.where(mask, 255, 0).reshape(-1, 1), 4, axis=1).ravel()
    bits = f"{len(values):032b}{7:05b}" + f"{0:04b}" * 4 + "".join(f"1000{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[start : start + 8], 2) for start in range(0, len(bits), 8)]


def polygon() -> list[list[float]]:
    return [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in zip(SQUARE[::2], SQUARE[1::2], strict=True)]


def test_label_studio(tmp_path):
    for number in (7, 8, 9):
        picture(tmp_path / "export" / f"{number}.png", number)
    rectangle = {"x": 200 / WIDTH, "y": 100 / HEIGHT, "width": 400 / WIDTH, "height": 300 / HEIGHT, "rotation": 0}
    choice = {"type": "choices", "value": {"choices": ["good"]}}
    older = {"result": [], "updated_at": "2025"}
    tasks = [
        task(
            "/data/upload/1/0f3a12bc-7.png", [result("brushlabels", "block", format="rle", rle=brush(corner())), choice]
        ),
        task("/data/local-files/?d=frames/8.png", [result("polygonlabels", "robot", points=polygon(), closed=True)]),
        task("s3://bucket/9.png?x=1", [result("rectanglelabels", "robot", **rectangle)]),
    ]
    tasks[1]["annotations"].append(older)
    tasks[2]["annotations"].append({"was_cancelled": True, "result": []})
    tasks[2]["predictions"] = [{"result": []}]
    (tmp_path / "export" / "project-1.json").write_text(json.dumps(tasks))
    store = taken(tmp_path / "export", tmp_path / "store")
    assert store.name == "label_studio" and store.categories == ("block", "robot")
    found = masks_of(store)
    empty = np.zeros_like(square())
    for number, wanted in ((7, [corner(), empty]), (8, [empty, square()]), (9, [empty, square()])):
        np.testing.assert_array_equal(next(each for id, each in found.items() if id.endswith(f"/{number}")), wanted)
    notes = store.contents.notes
    assert notes["results that are no mask (choices)"] == 1
    assert notes["tasks whose predictions by a model were left out"] == 1
    assert [count for note, count in notes.items() if note.startswith("tasks that several people labelled")] == [1]


def test_label_studios_short_json(tmp_path):
    picture(tmp_path / "export" / "images" / "7.png")
    sizes = {"original_width": WIDTH, "original_height": HEIGHT}
    tag = [{"format": "rle", "rle": brush(corner()), "brushlabels": ["robot"], **sizes}]
    tag.append({"points": polygon(), "polygonlabels": ["robot"], **sizes})
    (tmp_path / "export" / "min.json").write_text(json.dumps([{"id": 1, "image": "/data/7.png", "tag": tag}]))
    store = taken(tmp_path / "export" / "min.json", tmp_path / "store", categories=("robot",))
    (found,) = masks_of(store).values()
    np.testing.assert_array_equal(found, [square() | corner()])


def _value(task: dict) -> dict:
    return task["annotations"][0]["result"][0]["value"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda task: task["annotations"][0]["result"][0]["value"].pop("polygonlabels"), "has no label"),
        (lambda task: task["annotations"][0]["result"][0].pop("original_width"), "must have original_width"),
        (lambda task: task["data"].update(image="no picture"), "its data name no picture"),
        (lambda task: task["annotations"].append({"updated_at": "3"}), "KeyError 'result'"),
        (lambda task: _value(task).update(polygonlabels="robot"), "must have its labels in a list, got 'robot'"),
        (lambda task: _value(task).update(points=[[10**400, 0], [9, 0], [9, 9]]), "OverflowError"),
        (lambda task: task["annotations"][0]["result"][0].update(original_height=0), "whole numbers of pixels from 1"),
    ],
)
def test_a_damaged_export_of_label_studio_is_told(tmp_path, change, sentence):
    picture(tmp_path / "export" / "7.png")
    broken = task("7.png", [result("polygonlabels", "robot", points=polygon())])
    change(broken)
    (tmp_path / "export" / "project.json").write_text(json.dumps([broken]))
    with pytest.raises(ValueError, match=f"project.json: task 0: .*{sentence}"):
        taken(tmp_path / "export", tmp_path / "store")


def test_a_task_that_nobody_did(tmp_path):
    for number in (7, 8):
        picture(tmp_path / "export" / f"{number}.png", number)
    done = task("7.png", [result("polygonlabels", "robot", points=polygon())])
    (tmp_path / "export" / "project.json").write_text(json.dumps([done, task("8.png", [], annotations=[])]))
    with pytest.raises(ValueError, match="8.png: nobody labelled this picture"):
        taken(tmp_path / "export", tmp_path / "store")


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda folder: None, "masks must be `demo`, a store, or an export of a labelling tool; nothing is at"),
        (lambda folder: (folder / "a.json").write_text("{}"), "must have pictures, it has none"),
        (
            lambda folder: picture(folder / "7.png"),
            "must be of one format, it looks like none of coco, label_studio, png",
        ),
        (
            lambda folder: (picture(folder / "7.png"), (folder / "a.json").write_text("[{]")),
            "a.json: not JSON",
        ),
        (
            lambda folder: (
                picture(folder / "7.png"),
                coco(folder, ["7.png"], []),
                (folder / "a.json").write_text(json.dumps([task("7.png", [])])),
            ),
            "must be of one format, it looks like coco and label_studio; say which with mask_format",
        ),
        (
            lambda folder: (picture(folder / "7.png"), coco(folder, ["7.png"], [])),
            "has 1 pictures, and nothing is labelled on any",
        ),
    ],
)
def test_what_is_no_export_is_told(tmp_path, make: Callable, sentence):
    (tmp_path / "export").mkdir()
    make(tmp_path / "export")
    with pytest.raises(ValueError, match=sentence):
        taken(tmp_path / "export", tmp_path / "store")


def test_names_of_pictures_that_could_be_two(tmp_path):
    for folder in ("a", "b"):
        picture(tmp_path / "export" / folder / "7.png")
    coco(tmp_path / "export", ["7.png"], [(0, "robot", [SQUARE])])
    with pytest.raises(ValueError, match="'7.png' may be .*a/7.png or .*b/7.png; rename one$"):
        taken(tmp_path / "export", tmp_path / "store")
    coco(tmp_path / "export", ["a/7.png", "b/7.png"], [(0, "robot", [SQUARE]), (1, "robot", [SQUARE])])
    _, index = find_masks(str(tmp_path / "export"), "coco", MaskOptions())
    assert [labelled.place.parts[0] for labelled in index.pictures] == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mask_values": ("robot",)}, "mask_values must be like robot=1,block=2\\+3"),
        ({"mask_values": ("robot=1", "block=1")}, "mask_values must give a value to one category, 1 has two"),
        ({"mask_values": ("robot=9-3",)}, "mask_values must be from 0 to 65535, and a range from low to high"),
        ({"trajectory": "traj"}, "trajectory must have a group in brackets"),
        ({"trajectory": "(traj"}, "trajectory must be a regular expression"),
        ({"categories": ("robot", "robot")}, "categories must be named once each"),
    ],
)
def test_options_that_cannot_be(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        MaskOptions(**options)


def test_resized_with_their_frames(export, tmp_path):
    store = taken(export, tmp_path / "store", clip_resolution=4)
    assert store.frames("train", 0).shape == (1, 4, 4, 3) and store.masks("train", 0).shape == (1, 2, 4, 4)


def test_the_papers_own_labels(shared, tmp_path):
    """11 frames, 131 blocks, 11 robots, as published; areas are those that the export states, to a pixel's rim."""
    data = shared / "data" / "bair" / "masks"
    store = taken(data, tmp_path / "store", categories=("robot", "block"))
    assert {split: store.count(split) for split in store.splits} == {"train": 8, "dev": 2, "validate": 1}
    assert store.contents.notes == {"pictures that count as a trajectory each": 11}
    kinds = [each.category for _, _, labelled in instances(str(data)) for each in labelled]
    assert (kinds.count("robot"), kinds.count("block")) == (11, 131)
    stated = {}
    for path in sorted(data.glob("*/_annotations.coco.json")):
        document = json.loads(path.read_text())
        names = {image["id"]: Path(image["file_name"]).stem for image in document["images"]}
        for each in document["annotations"]:
            if each["category_id"] == 2:
                x, y = np.array(each["segmentation"][0]).reshape(-1, 2).T
                area = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
                stated[names[each["image_id"]]] = area, float(np.hypot(np.diff(x), np.diff(y)).sum())
    for id, masks in masks_of(store).items():
        area, outline = stated[id.partition("/")[2]]
        assert abs(masks[0].sum() - area) < outline / 2
        assert masks[0].any() and masks[1].any()
