"""Labelled pictures become a store of clips of one frame, with a mask for each category."""

import functools
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from mmvid import storage
from mmvid.clips.ingest import Reading, ingest_reading
from mmvid.clips.manifest import OnError
from mmvid.clips.masks import formats
from mmvid.clips.masks.index import Index, places_below
from mmvid.clips.masks.options import MaskOptions
from mmvid.clips.masks.reading import Instance, instances_of, read
from mmvid.clips.store import ClipStore
from mmvid.storage import File

DEV_SHARE, VALIDATE_SHARE = 0.1, 0.2  # the paper trains on four fifths


def ingest_masks(
    data: str,
    folder: str | os.PathLike,
    *,
    mask_format: str = "auto",
    options: MaskOptions | None = None,
    on_error: OnError = "stop",
    dev_share: float = DEV_SHARE,
    validate_share: float = VALIDATE_SHARE,
    seed: int = 0,
    progress: bool = True,
) -> ClipStore:
    """Makes a store of labelled pictures, or finds it made.

    Args:
        data: an export: a folder, or its annotation file; see the formats.
        mask_format: one of the formats, or `auto`: the one that the files are of.
        options: how it is read.
        folder, on_error, dev_share, validate_share, seed, progress: as of `clips.ingest.ingest_reading`. Faults are
            pictures without a mask, or that are not there, masks of another size or that cannot be read, and values
            of mask pictures that nothing was said about; the manifest's notes count what is kept and worth telling.

    Raises:
        ValueError: one sentence that says what is wrong, and in which file.
    """
    options = options or MaskOptions()
    mask_format, index = find_masks(data, mask_format, options)
    pieces, notes = index.pieces(options, data)
    reading = Reading(
        data,
        mask_format,
        pieces,
        functools.partial(_read, options),
        options.model_dump(),
        by=options.split_by,
        notes=notes,
    )
    shares = {"dev_share": dev_share, "validate_share": validate_share}
    return ingest_reading(reading, folder, on_error=on_error, seed=seed, progress=progress, **shares)


def instances(
    data: str, *, mask_format: str = "auto", options: MaskOptions | None = None
) -> Iterator[tuple[str, np.ndarray, list[Instance]]]:
    """Each picture's name, the picture uint8 (H, W, 3), and every labelled thing on it by itself.

    Raises:
        ValueError: as `ingest_masks`.
    """
    options = options or MaskOptions()
    _, index = find_masks(data, mask_format, options)
    for piece in index.pieces(options, data)[0]:
        yield piece.name, *instances_of(piece)


def find_masks(data: str, mask_format: str, options: MaskOptions) -> tuple[str, Index]:
    """The format of an export, and which pictures it labels.

    Raises:
        ValueError: if there is nothing labelled, an unknown format, or files of several.
    """
    places = places_below(data)
    frames = [place for place in (places_below(options.frames) if options.frames else places) if place.is_picture]
    if not frames:
        raise ValueError(f"{options.frames or data} must have pictures, it has none")
    given = storage.find_file(storage.absolute(data))
    documents = {
        place: _document(place.file)
        for place in places
        if place.file.name.lower().endswith(".json") and (given is None or place.file == given)
    }
    if given is not None and not documents:
        raise ValueError(f"masks must be a folder or a JSON file of annotations, got {data}")
    found = [name for name in formats.names() if formats.load(name).recognises(documents, places)]
    if mask_format == "auto":
        annotated = [name for name in found if name != "png"] or found
        if options.frames and not annotated:
            annotated = ["png"]
        if len(annotated) != 1:
            listed = " and ".join(annotated) or f"none of {', '.join(formats.names())}"
            raise ValueError(f"{data} must be of one format, it looks like {listed}; say which with mask_format")
        mask_format = annotated[0]
    return mask_format, formats.load(mask_format).index(documents, places, frames, options)


def fingerprint(data: str, options: MaskOptions) -> str:
    """A cheap digest of what an ingest would read: names, sizes and versions of the files.

    Raises:
        ValueError: as `places_below`.
    """
    places = [*places_below(data), *(places_below(options.frames) if options.frames else ())]
    listed = [[place.parts, place.file.size, place.file.version] for place in places]
    return hashlib.blake2b(json.dumps(listed).encode(), digest_size=16).hexdigest()


def _read(options: MaskOptions, piece, report, notes: Counter[str]) -> Iterator:
    return read(piece, options, report, notes)


def _document(file: File) -> Any:
    with storage.opened(file) as stream:
        content = stream.read()
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: not JSON: {error}") from None
