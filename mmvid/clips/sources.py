"""What a place holds: the files of clips below it, the kind that they are of, and the split of each."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from mmvid import storage
from mmvid.clips import readers
from mmvid.clips.manifest import SkippedClip
from mmvid.config import Options, option
from mmvid.storage import File

Camera = Literal["auto", "aux1", "main", "both"]

SPLIT_WORDS = {"train": "train", "training": "train", "dev": "dev", "test": "test"} | dict.fromkeys(
    ("validate", "val", "valid", "validation"), "validate"
)


class BadClip(ValueError):
    """A clip that cannot be read, or is unlike the others.

    Attributes:
        place: its file.
        reason: the kind of fault, in a word or two.
    """

    def __init__(self, place: str | os.PathLike, reason: str, what: str):
        super().__init__(os.fspath(place), reason, what)
        self.place, self.reason, self.what = os.fspath(place), reason, what

    def __str__(self) -> str:
        return self.what if self.what.startswith(self.place) else f"{self.place}: {self.what}"

    @property
    def skipped(self) -> SkippedClip:
        return SkippedClip(file=self.place, reason=self.reason, what=str(self))


Report = Callable[[BadClip], None]


class ReadOptions(Options):
    """How clips are read."""

    camera: Camera = option("auto", "of what has two cameras; auto: aux1, as VideoGPT takes, or the one there is")
    clip_resolution: int | None = option(None, "cut to a centred square and resized to this; empty: as they are", ge=4)
    clip_frames: int | None = option(None, "longer videos are cut into clips of so many frames; empty: whole", ge=1)
    frame_rate: float | None = option(None, "frames a second taken of a video; empty: all", gt=0)


@dataclasses.dataclass(frozen=True)
class Located:
    """A file of a data set.

    Attributes:
        file: the file.
        split: train, dev or validate.
        parts: its place below the data set's (or the split's) folder, its own name included.
    """

    file: File
    split: str
    parts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Piece:
    """What a reader reads at a time.

    Attributes:
        files: a file, or the pictures of a clip in order.
        name: what ids begin with.
        split: train, dev or validate.
        label: the class of its clips, or None.
        first, count: the range of a file's clips; a count of None is the whole file.
        layout: what a reader found out about the file.
    """

    files: tuple[File, ...]
    name: str
    split: str
    label: str | None = None
    first: int = 0
    count: int | None = None
    layout: str = ""

    @property
    def file(self) -> File:
        return self.files[0]

    @property
    def size(self) -> int:
        """The bytes of its files."""
        return sum(file.size for file in self.files)

    def key(self) -> list:
        """What tells it from another piece, as JSON values."""
        files = [[file.name, file.size, file.version] for file in self.files]
        return [files, self.name, self.split, self.label, self.first, self.count, self.layout]


def find_clips(data: str, kind: str = "auto") -> tuple[str, list[Located]]:
    """The kind of the clips at a place, and their files.

    Args:
        data: a file or a folder, on disk or on S3. A folder may have subfolders `train`, `dev`, `validate` (or `val`,
            `valid`, `validation`) and `test`; a test split is taken as validate, and a validate beside it as dev.
        kind: a reader, or `auto`: the one whose files are there.

    Raises:
        ValueError: if there is nothing to read, an unknown kind, several kinds, or a file in no split's folder.
    """
    if kind != "auto":
        readers.load(kind)
    endings = {name: readers.load(name).ENDINGS for name in readers.names()}
    files = _files(data)
    found = {name: [file for file in files if file.name.lower().endswith(endings[name])] for name in endings}
    found = {name: those for name, those in found.items() if those}
    if kind == "auto":
        if len(found) > 1:
            listed = ", ".join(f"{name} ({len(those)})" for name, those in found.items())
            raise ValueError(f"{data} holds files of several kinds, {listed}; say which with kind")
        kind = next(iter(found), kind)
    if kind not in found:
        wanted = sorted({ending for name in endings if kind in ("auto", name) for ending in endings[name]})
        raise ValueError(f"{data} must hold clips as files ending in {', '.join(wanted)}; there are none")
    return kind, _located(data, found[kind])


@contextlib.contextmanager
def on_disk(file: File) -> Iterator[Path]:
    """A file's path on disk, for readers that go to and fro in it; one on S3 is copied as long as the block runs."""
    if not storage.is_remote(file):
        yield Path(file.place)
        return
    with tempfile.TemporaryDirectory(prefix="mmvid-") as folder:
        copied = Path(folder, file.name)
        with storage.opened(file) as source, open(copied, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        yield copied


def _files(data: str) -> list[File]:
    # On S3 a name with a slash at its end may be an object of its own, which consoles make of an empty folder.
    file = storage.find_file(storage.absolute(data))
    if file is not None:
        return [file]
    if not storage.is_remote(data) and not Path(data).is_dir():
        raise ValueError(f"clips must be `demo`, a store, or a folder or file of clips; nothing is at {data}")
    return storage.list_tree(data)


def _located(data: str, files: list[File]) -> list[Located]:
    start = storage.absolute(data)
    parts = [storage.absolute(file.place).removeprefix(start).strip("/").split("/") for file in files]
    if len(files) == 1 and parts == [[""]]:  # `data` is the file
        word = _of_name(files[0]) or "train"
        return [Located(files[0], final_splits({word}, data)[word], (files[0].name,))]
    words = [SPLIT_WORDS.get(names[0].lower()) if len(names) > 1 else None for names in parts]
    if not any(words):  # one folder above the splits' is common: the data set's name in an archive
        above = {names[0] for names in parts if len(names) > 2}
        if len(above) == 1 and any(SPLIT_WORDS.get(names[1].lower()) for names in parts if len(names) > 2):
            return _located(storage.join(data, above.pop()), files)
    if not any(words):
        own = SPLIT_WORDS.get(storage.name_of(start).lower())  # `data` is a split's folder
        words = [own or _of_name(file) or "train" for file in files]
        kept = [tuple(names) for names in parts]
    else:
        outside = [file for file, word in zip(files, words, strict=True) if word is None]
        if outside:
            raise ValueError(f"{outside[0]} lies in no split's folder, other files of {data} do")
        kept = [tuple(names[1:]) for names in parts]
    final = final_splits({word for word in words if word}, data)
    return [Located(file, final[word], names) for file, word, names in zip(files, words, kept, strict=True)]


def final_splits(words: set[str], data: str) -> dict[str, str]:
    """Publishers' splits -> ours, of which the last is the one to report on.

    Raises:
        ValueError: if there are dev, validate and test, one more than we have.
    """
    if words >= {"dev", "validate", "test"}:
        raise ValueError(f"{data} has dev, validate and test, of which two at most can be taken; leave one out")
    final = {"train": "train", "dev": "dev", "validate": "validate", "test": "validate"}
    return final | ({"validate": "dev"} if "test" in words else {})


def _of_name(file: File) -> str | None:
    """The split in the name of a file such as `bair_pushing_test.hdf5`."""
    words = Counter(file.name.lower().replace(".", "_").replace("-", "_").split("_"))
    found = {split for word, split in SPLIT_WORDS.items() if word in words}
    return found.pop() if len(found) == 1 else None
