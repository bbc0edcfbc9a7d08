"""What `data` stands for: the shards of each split, and the folders that text and labels' names lie in."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmvid import storage
from mmvid.records import rows
from mmvid.records.splits import UNDIVIDED
from mmvid.storage import File

_FOLDERS = {
    "train": ("train",),
    "dev": ("dev",),
    "validate": ("validate", "val", "valid", "validation"),
    "test": ("test",),
}
_SPLIT_OF_FOLDER = {name: split for split, names in _FOLDERS.items() for name in names}
_ENDINGS = (".tfrecord", ".tfrecord.gz")

Shards = dict[str, dict[str, File]]


@dataclass(frozen=True)
class Sources:
    """The files of a data set.

    Attributes:
        folders: the folders that `data` names, each once; text and labels' names are looked for in them.
        shards: source split -> name in its folder, such as `train/train00.tfrecord` -> shard; only splits that have
            some, train or all (files of rows that are not divided) always.
    """

    folders: tuple[str, ...]
    shards: Shards

    def beside(self, name: str) -> File | None:
        """The file of that name beside the shards, or None.

        Raises:
            ValueError: if several of the folders have one.
        """
        files = [storage.find_file(storage.join(folder, name)) for folder in self.folders]
        found = [file for file in files if file is not None]
        if len(found) > 1:
            raise ValueError(f"{name} lies in two places, {found[0]} and {found[1]}; say which is meant")
        return found[0] if found else None


def find_sources(data: str | os.PathLike) -> Sources:
    """Finds the shards of a data set.

    Args:
        data: a folder, on disk or `s3://bucket/folder`, whose files lie in subfolders `train`, `dev`, `validate` (or
            `val`, `valid`, `validation`) and `test`, or directly in it under names that begin so; a file; a pattern
            of files with `*`, `?` or `[...]`; or a list of these with commas between. Files end in .tfrecord or
            .tfrecord.gz. Hidden ones are passed over. A file, pattern or list may also name files of rows (see
            `described`), which have no features. The split of a file that is named otherwise than by its data
            set's folder is told by its folder's name or its own.

    Raises:
        ValueError: if there is nothing, no shard of train, a split twice in a folder, a file twice, or a TFRecord file
            whose name belongs to no split.
        OSError: if S3 does not answer.
    """
    folders: dict[str, str] = {}
    shards: Shards = {}
    seen: set[str] = set()
    for item in _items(data):
        around, found = _shards_of(item)
        for folder in around:
            folders.setdefault(storage.absolute(folder), folder)
        for split, files in found.items():
            for name, file in files.items():
                if storage.absolute(file.place) in seen:
                    raise ValueError(f"data names {file} twice")
                seen.add(storage.absolute(file.place))
                known = shards.setdefault(split, {})
                known[name if name not in known else file.place] = file
    if not shards.keys() & {"train", UNDIVIDED}:
        looked = f"{data}/train/ or {data}/train*, ending in {' or '.join(_ENDINGS)}"
        there = f"shards of {', '.join(shards)} only" if shards else "no shards"
        raise ValueError(f"data must have training shards as {looked}; found {there}")
    return Sources(
        tuple(folders.values()), {split: shards[split] for split in (*_FOLDERS, UNDIVIDED) if split in shards}
    )


def absolute(data: str | os.PathLike) -> str:
    """`data` as any process finds it."""
    return ",".join(map(storage.absolute, _items(data)))


def title_of(data: str | os.PathLike) -> str:
    """A short name for `data` that may be a folder's: that of its first folder."""
    first = _items(data)[0]
    return (
        storage.name_of(storage.absolute(storage.fixed_part(first) if storage.is_pattern(first) else first)) or "data"
    )


def _items(data: str | os.PathLike) -> list[str]:
    """The folders, files and patterns that `data` lists; a comma in the name of a file that is there lists nothing."""
    text = os.fspath(data)
    if not isinstance(data, str) or (not storage.is_remote(text) and Path(text).exists()):
        return [text]
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise ValueError(f"data must be a place or places with commas between, got {text!r}")
    return items


def _shards_of(item: str) -> tuple[list[str], Shards]:
    """An item's folders, and its shards."""
    if storage.is_pattern(item):
        matched = storage.match_files(item)
        found = [file for file in matched if _is_shard(file)] or [file for file in matched if is_rows(file)]
        if not found:
            raise ValueError(f"data: no file ending in {' or '.join(_ENDINGS)}, and none of rows, fits {item}")
        return _named_shards(storage.fixed_part(item), found)
    if item.endswith((*_ENDINGS, *rows.ENDINGS)) and (file := storage.find_file(item)) is not None:
        return _named_shards(storage.parent_of(item), [file])
    if not storage.is_remote(item) and not Path(item).is_dir():
        raise ValueError(
            f"data must be `demo`, a store, or a folder, pattern or list of TFRecords; nothing is at {item}"
        )
    return _folder_shards(item)


def _named_shards(folder: str, files: Iterable[File]) -> tuple[list[str], Shards]:
    """Shards that were named one by one. Where `folder` is that of a split, the one above it is the data set's too."""
    folders = [folder]
    if storage.name_of(storage.absolute(folder)) in _SPLIT_OF_FOLDER:
        folders.append(storage.parent_of(storage.absolute(folder)))
    start = storage.absolute(folders[-1]).rstrip("/") + "/"
    shards: Shards = {}
    for file in files:
        place = storage.absolute(file.place)
        by_folder = _SPLIT_OF_FOLDER.get(storage.name_of(storage.parent_of(place)))
        by_name = _split_named(file)
        if by_folder and by_name and by_folder != by_name:
            raise ValueError(f"{file}: its name says {by_name}, its folder {by_folder}; name the data set's folder")
        split = by_folder or by_name or (UNDIVIDED if is_rows(file) else _unnamed(file))
        shards.setdefault(split, {})[place.removeprefix(start)] = file
    return folders, shards


def _folder_shards(folder: str) -> tuple[list[str], Shards]:
    shards: Shards = {}
    places: dict[str, str] = {}
    for split, names in _FOLDERS.items():
        for name in names:
            if found := _shards_in(storage.join(folder, name)):
                _claim(places, split, f"folder {name}", folder)
                shards[split] = {f"{name}/{file.name}": file for file in found}
    loose = _shards_in(folder)
    own = _SPLIT_OF_FOLDER.get(storage.name_of(storage.absolute(folder)))
    if own and loose and not shards and {*map(_split_named, loose)} <= {own, None}:  # it is a split's own folder
        return _named_shards(folder, loose)
    by_name: Shards = {}
    for file in loose:
        by_name.setdefault(_split_named(file) or _unnamed(file), {})[file.name] = file
    for split, found in by_name.items():
        _claim(places, split, f"file {next(iter(found))}", folder)
        shards[split] = found
    return [folder], shards


def _shards_in(folder: str) -> list[File]:
    return [file for file in storage.list_files(folder) if _is_shard(file)]


def is_rows(file: File) -> bool:
    """Whether a file has rows (see `described`), not records."""
    return file.name.endswith(rows.ENDINGS)


def _is_shard(file: File) -> bool:
    return file.name.endswith(_ENDINGS)


def _split_named(file: File) -> str | None:
    return next((split for split, names in _FOLDERS.items() if file.name.startswith(names)), None)


def _unnamed(file: File) -> str:
    starts = ", ".join(name for names in _FOLDERS.values() for name in names)
    raise ValueError(f"{file}: the name of a shard must begin with its split ({starts})")


def _claim(places: dict[str, str], split: str, place: str, data: str) -> None:
    if split in places:
        raise ValueError(f"{data} has {split} twice: {places[split]} and {place}")
    places[split] = place
