"""Which pictures an export labels: its files by place, its splits, its trajectories, and what is labelled on each.

An index is made before any picture is read, so that what is asked for and not there is known at once.
"""

import dataclasses
import json
import os
import re
from collections import Counter
from collections.abc import Iterable

from mmvid import storage
from mmvid.clips.masks.options import MaskOptions
from mmvid.clips.masks.shapes import Shape
from mmvid.clips.readers.images import ENDINGS
from mmvid.clips.sources import SPLIT_WORDS, Piece, final_splits
from mmvid.storage import File

_EXPORTED = re.compile(r"_(?:png|jpe?g|bmp|webp|tiff?)\.rf\.[0-9a-f]{8,}$")  # what Roboflow adds to a name
_YEAR = re.compile(r"\d+$")


@dataclasses.dataclass(frozen=True)
class Place:
    """A file below a data set's folder: `parts` are the folders on the way and its name."""

    file: File
    parts: tuple[str, ...]

    @property
    def stem(self) -> str:
        return self.parts[-1].rpartition(".")[0]

    @property
    def is_picture(self) -> bool:
        return self.parts[-1].lower().endswith(ENDINGS)


@dataclasses.dataclass
class Labelled:
    """One picture of an export.

    Attributes:
        place: where it lies; of a picture that is missing, the file that names it.
        shapes: what is labelled on it, of any category.
        split: the export's word for its split, None without one.
        labelled: whether anybody labelled it; one without anything to see may have no shapes.
        masks: the mask pictures that the shapes' `file` counts from 1.
        missing: the name of a picture that is not there.
    """

    place: Place
    shapes: list[Shape]
    split: str | None
    labelled: bool = True
    masks: tuple[File, ...] = ()
    missing: str = ""


@dataclasses.dataclass
class Index:
    """An export.

    Attributes:
        pictures: all of them.
        known: the names of all categories that it knows of, labelled or not.
        notes: what was left aside and is worth telling, counted.
    """

    pictures: list[Labelled]
    known: set[str]
    notes: Counter[str] = dataclasses.field(default_factory=Counter)

    def categories(self, options: MaskOptions, data: str) -> tuple[str, ...]:
        """The categories that masks are made of.

        Raises:
            ValueError: if there is nothing labelled, or not what is asked for; the sentence says what there is.
        """
        counts = Counter(shape.category for picture in self.pictures for shape in picture.shapes)
        there = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items())) or "nothing"
        for name in options.categories:
            if name not in self.known | counts.keys():
                raise ValueError(f"{data} has no category {name!r}; labelled are {there}")
            if not counts[name]:
                raise ValueError(f"{data} has category {name!r}, but nothing is labelled so; labelled are {there}")
        if not counts:
            raise ValueError(f"{data} has {len(self.pictures)} pictures, and nothing is labelled on any")
        return options.categories or tuple(sorted(counts))

    def pieces(self, options: MaskOptions, data: str) -> tuple[list[Piece], Counter[str]]:
        """What is read at a time, a picture each, and the notes.

        Raises:
            ValueError: as `categories`, or if the splits are not clear.
        """
        categories = self.categories(options, data)
        words = _splits(self.pictures, options, data)
        names = _trajectories(self.pictures, options, data)
        notes = Counter(self.notes)
        pieces = []
        for picture, split, trajectory in zip(self.pictures, words, names, strict=True):
            wanted = [shape for shape in picture.shapes if shape.category in categories]
            for shape in picture.shapes:
                if shape.category not in categories:
                    notes[f"masks of {shape.category}, not asked for"] += 1
            content = {
                "trajectory": trajectory,
                "categories": categories,
                "shapes": [shape.plain() for shape in wanted],
                "labelled": picture.labelled,
                "missing": picture.missing,
            }
            folders = [part for part in picture.place.parts[:-1] if split_word(part) is None]
            name = "/".join([split, *folders, picture.missing or picture.place.stem])
            pieces.append(Piece((picture.place.file, *picture.masks), name, split, layout=json.dumps(content)))
        if len(set(names)) == len(names) > 1:
            notes["pictures that count as a trajectory each"] = len(names)
        return pieces, notes


def places_below(data: str) -> list[Place]:
    """The files below a folder, or beside a file.

    Raises:
        ValueError: if nothing is there.
    """
    start = storage.absolute(data)
    if storage.find_file(start) is not None:
        start = storage.parent_of(start)
    files = storage.list_tree(start)
    if not files:
        raise ValueError(f"masks must be `demo`, a store, or an export of a labelling tool; nothing is at {data}")
    return [
        Place(file, tuple(storage.absolute(file.place).removeprefix(start).strip("/").split("/"))) for file in files
    ]


def split_word(name: str) -> str | None:
    """The split that a folder's or a file's name says, as `train2017` or `instances_val2017.json`; None without."""
    words = re.split(r"[_.\-\s]+", name.lower())
    found = {split for word in words if (split := SPLIT_WORDS.get(_YEAR.sub("", word))) is not None}
    return found.pop() if len(found) == 1 else None


def split_of(places: Iterable[tuple[str, ...]]) -> str | None:
    """The split of the first of these places whose folders say one, from the inmost."""
    for parts in places:
        for part in reversed(parts):
            if (split := split_word(part)) is not None:
                return split
    return None


def _splits(pictures: list[Labelled], options: MaskOptions, data: str) -> list[str]:
    """Our split of each picture."""
    words = [picture.split for picture in pictures]
    if options.splits == "draw" or not any(words):
        return ["train"] * len(words)
    for picture, word in zip(pictures, words, strict=True):
        if word is None:
            raise ValueError(f"{picture.place.file} lies in no split's folder, other pictures do; or say splits=draw")
    final = final_splits(set(words), data)
    return [final[word] for word in words]


def _trajectories(pictures: list[Labelled], options: MaskOptions, data: str) -> list[str]:
    """The trajectory of each picture: as the option says, or from its place.

    Of the folders only those tell that not all pictures share, and that are no split's. With them, a name with two
    numbers or more is a trajectory's and a frame's: all before the last number. With fewer, such a folder is a
    trajectory; without one nothing tells which pictures belong together, and each stands alone. Copies that Roboflow
    made of one picture are one trajectory.
    """
    pattern = re.compile(options.trajectory)
    folders = [[part for part in picture.place.parts[:-1] if split_word(part) is None] for picture in pictures]
    shared = len(os.path.commonprefix(folders))
    found = []
    for picture, parts in zip(pictures, folders, strict=True):
        place = picture.place
        if options.trajectory:
            match = pattern.search("/".join(place.parts))
            if match is None or not match[1]:
                raise ValueError(f"trajectory {options.trajectory!r} must match each picture, not {place.file}")
            found.append(match[1])
            continue
        own = "/".join([*parts[shared:], _EXPORTED.sub("", place.stem)])
        numbers = list(re.finditer(r"\d+", own))
        if len(numbers) > 1:
            found.append(own[: numbers[-1].start()].rstrip("_-./ "))
        else:
            found.append("/".join(parts[shared:]) or own)
    if len(set(found)) == 1 < len(found) and not any(picture.split for picture in pictures):
        say = "say what a trajectory is with `trajectory`, or split_by=frame"
        if options.split_by == "trajectory":
            raise ValueError(f"{data}: all {len(found)} pictures are of one trajectory, {found[0]!r}; {say}")
    return found
