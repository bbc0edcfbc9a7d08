"""More features of a store's videos, in a folder of their own: the store itself is left as it is.

The folder is a store, too (`Store.open`): its manifest names the store that it extends, and for each file of that one
there is an Arrow file here with the same rows in the same order and a column a feature:

features.<m>     fixed_size_list<halffloat>[D], null (zeros below) where the video lacks modality m

Half precision halves what is read in training: 5120 numbers a video are 10 KB, 40 GB for 4 million videos.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError
from tqdm import tqdm

from mmvid.config import Options, option
from mmvid.durable import claimed, remove_leftovers, replacing
from mmvid.manifests import NAME, digest_of
from mmvid.records.manifest import Counts, Extended, FileEntry, Manifest
from mmvid.records.store import Store

BATCH_BYTES = 8 * 1024 * 1024  # of features in a record batch
STATE = "unfinished"
_ROWS = 1024  # in a record batch at most
_LARGEST = float(np.finfo(np.float16).max)

Made = dict[str, tuple[np.ndarray, np.ndarray]]
Make = Callable[[str, np.ndarray], Made]


class Done(Options):
    """The note on a finished file."""

    request: str = option(..., "what it was made for")
    entry: FileEntry = option(..., "the file")
    present: dict[str, int] = option(..., "videos that have each feature")
    clipped: int = option(..., "numbers beyond the range of half precision")


def extend(
    store: Store,
    folder: Path,
    sizes: dict[str, int],
    make: Make,
    *,
    request: str,
    made: dict[str, Any],
    progress: bool = True,
) -> Store:
    """Adds features to a store's videos, or finds them added. A killed call goes on with the files it had not finished.

    Args:
        store: whose videos.
        folder: where the features go: nothing, an empty folder, or what an earlier call left; features that were made
            for another request are replaced.
        sizes: the features and their sizes, D.
        make: is given a split and row numbers in it, int64 (R,), ascending, and answers for each feature its values,
            floats (R, D), and which of these rows have it, bool (R,). Equal rows must be answered by equal values.
        request: digest of everything that decides the features.
        made: how they are made, for the manifest.
        progress: whether to show a progress bar, over videos.

    Returns:
        A store with the columns of `store` and these.

    Raises:
        ValueError: if the store has a feature of such a name, or the folder holds something else.
    """
    for modality in sizes:
        if modality in store.shapes.features:
            raise ValueError(f"{store.folder} has {modality} already; more features must have other names")
    with claimed(folder, (NAME, STATE), "hold features", "makes"):
        if not _is_made(folder, request):
            _write(store, folder, sizes, make, request, made, progress)
        shutil.rmtree(folder / STATE, ignore_errors=True)
    return Store.open(folder)


def _is_made(folder: Path, request: str) -> bool:
    if not (folder / NAME).exists():
        return False
    contents = Manifest.read(folder)
    if contents.extends is None:
        raise ValueError(f"{folder} is a store of its own; features to add to one must go elsewhere")
    return contents.extends.request == request


def _write(
    store: Store, folder: Path, sizes: dict[str, int], make: Make, request: str, made: dict[str, Any], progress: bool
) -> None:
    (folder / STATE).mkdir(exist_ok=True)
    (folder / NAME).unlink(missing_ok=True)  # from here on there are no features until the new ones are whole
    for place in (folder, folder / STATE):
        remove_leftovers(place)
    files = store.contents.files
    kept = {file.name for file in files}
    for path in folder.glob("*.arrow"):  # of another store that was extended here
        if path.name not in kept:
            path.unlink()
    done: list[Done] = []
    first = dict.fromkeys((file.split for file in files), 0)  # row of its split that the next file begins with
    with tqdm(
        desc="features", total=sum(file.rows for file in files), unit=" videos", disable=not _shown(progress)
    ) as bar:
        for file in files:
            found = _find_done(folder, file, request)
            if found is None:
                found = _convert(store, folder, file, first[file.split], sizes, make, request)
            done.append(found)
            first[file.split] += file.rows
            bar.update(file.rows)
    _complete(store, folder, sizes, done, request, made)


def _shown(progress: bool) -> bool:
    return progress and sys.stderr.isatty()


def _find_done(folder: Path, file: FileEntry, request: str) -> Done | None:
    """The note on a file that is finished."""
    path = folder / file.name
    try:
        done = Done.model_validate_json((folder / STATE / f"{file.name}.json").read_bytes())
    except (OSError, ValidationError):
        return None
    whole = done.request == request and path.is_file() and path.stat().st_size == done.entry.bytes
    return done if whole else None


def _convert(
    store: Store, folder: Path, file: FileEntry, first: int, sizes: dict[str, int], make: Make, request: str
) -> Done:
    """Makes one file and its note."""
    (folder / STATE / f"{file.name}.json").unlink(missing_ok=True)
    kinds = {modality: pa.list_(pa.float16(), size) for modality, size in sizes.items()}
    schema = pa.schema([pa.field(f"features.{modality}", kind) for modality, kind in kinds.items()])
    present, clipped = dict.fromkeys(sizes, 0), 0
    with replacing(folder / file.name) as path:
        with pa.ipc.new_file(str(path), schema) as arrow:
            for rows in _chunks(store, file, first, sizes):
                answer = make(file.split, rows)
                columns = []
                for modality, kind in kinds.items():
                    values, there = answer[modality]
                    values = np.where(there[:, None], values, 0)
                    clipped += int((np.abs(values) > _LARGEST).sum())
                    half = np.clip(values, -_LARGEST, _LARGEST).astype(np.float16)
                    mask = None if there.all() else pa.array(~there)
                    columns.append(pa.FixedSizeListArray.from_arrays(pa.array(half.reshape(-1)), type=kind, mask=mask))
                    present[modality] += int(there.sum())
                arrow.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        digest, size = digest_of(path), path.stat().st_size
    entry = FileEntry(name=file.name, split=file.split, rows=file.rows, bytes=size, digest=digest)
    done = Done(request=request, entry=entry, present=present, clipped=clipped)
    with replacing(folder / STATE / f"{file.name}.json") as path:
        path.write_text(done.model_dump_json(), encoding="utf-8")
    return done


def _chunks(store: Store, file: FileEntry, first: int, sizes: dict[str, int]) -> Iterator[np.ndarray]:
    """The row numbers of each record batch of a file: none spans two record batches of the store."""
    most = min(_ROWS, max(1, BATCH_BYTES // (2 * sum(sizes.values()))))
    begin = 0
    for batch in store.batches(file.split):
        end = begin + batch.num_rows
        if first <= begin < first + file.rows:
            for start in range(begin, end, most):
                yield np.arange(start, min(start + most, end))
        begin = end


def _complete(
    store: Store, folder: Path, sizes: dict[str, int], done: list[Done], request: str, made: dict[str, Any]
) -> None:
    """Writes the manifest: with it the features are there."""
    if clipped := sum(each.clipped for each in done):
        sys.stderr.write(f"{clipped} numbers beyond {_LARGEST:g}, the range of half precision, were set to it\n")
    splits: dict[str, Counts] = {}
    for split, counts in store.contents.splits.items():
        there = {
            modality: sum(each.present[modality] for each in done if each.entry.split == split) for modality in sizes
        }
        splits[split] = counts.model_copy(update={"features": counts.features | there})
    files = [each.entry for each in done]
    told = [store.digest, sizes, [[file.name, file.split, file.digest] for file in files]]
    relative = os.path.relpath(store.folder.resolve(), folder.resolve())
    contents = store.contents.model_copy(
        update={
            "digest": hashlib.blake2b(json.dumps(told).encode(), digest_size=16).hexdigest(),
            "features": store.contents.features | sizes,
            "splits": splits,
            "files": files,
            "extends": Extended(folder=relative, digest=store.digest, request=request, made=made),
        }
    )
    Manifest(**contents.plain()).write(folder)
