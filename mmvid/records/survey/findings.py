"""What a survey means: ids, labels and frames, the schema that fits, and what an ingest would stumble over."""

import dataclasses
from pathlib import Path

from mmvid.records.schema import Schema
from mmvid.records.sources import find_sources
from mmvid.records.store import Store
from mmvid.records.survey.keys import Key
from mmvid.records.survey.proposal import Fit, fit, id_key, labels_key, not_finite, rank_schemas, starting_schema
from mmvid.records.survey.scan import Survey, find_doubled
from mmvid.records.survey.tally import Bins
from mmvid.records.vocabulary import read_vocabulary, unnamed


@dataclasses.dataclass(frozen=True)
class Findings:
    """A survey, read with a schema if one fits.

    Attributes:
        fits: the schemas that share features with the records, the best first; only the given one if one was given.
        schema: the one that fits; None if none does. vocabulary: the file of the labels' names.
        id, labels, frames: the keys of these; None where there are none.
        doubled: records whose id was there before, and the first in words; None where ids were too long to compare.
        names: the label's names; None if they are not known.
        faults: what is wrong with a few records of the schema, or of any.
        has_splits: whether it is a folder whose files are named by split, as an ingest needs it.
        proposed: a YAML schema to begin with where none fits; empty if there can be none.
    """

    survey: Survey
    fits: list[Fit]
    schema: Schema | None
    vocabulary: Path | None
    id: Key | None
    labels: Key | None
    frames: Key | None
    doubled: tuple[int, str] | None
    names: list[str] | None
    faults: tuple[str, ...]
    has_splits: bool
    proposed: str

    @property
    def unlabelled(self) -> int:
        """Records that are intact and have no label key."""
        held = self.labels.records if self.labels is not None else 0
        return max(0, self.survey.intact - held)

    def labels_a_video(self) -> Bins:
        return self.labels.lengths.bins() if self.labels is not None else []

    def frames_a_video(self) -> Bins:
        return self.frames.lengths.bins() if self.frames is not None else []

    def commonest(self, most: int) -> list[tuple[int, str, int]]:
        """The commonest labels: id, name, how often."""
        if self.labels is None or self.labels.counts is None:
            return []
        counts = self.labels.counts
        order = (-counts).argsort(kind="stable")[:most].tolist()
        return [(label, self.name(label), int(counts[label])) for label in order if counts[label]]

    def name(self, label: int) -> str:
        known = self.names is not None and label < len(self.names)
        return self.names[label] if known else unnamed(label)


def interpret(survey: Survey, folders: list[Path], vocabulary: str = "auto") -> Findings:
    """Reads a survey with the given schema, or with the built-in one that fits best.

    Args:
        folders: where the records lie: vocabularies are looked for there.
        vocabulary: a CSV file of the labels' names, `auto` for the schema's beside the records, or `none`.

    Raises:
        ValueError: if the vocabulary is not one of the schema's labels.
    """
    store = Store.open(survey.source) if survey.kind == "store" else None
    if store is not None:
        fits = [Fit(store.schema, (), (), tuple(store.shapes.features))]
    elif survey.schema is not None:
        fits = [fit(survey, survey.schema, folders)]
    else:
        fits = rank_schemas(survey, folders)
    best = fits[0] if fits and not fits[0].objections else None
    schema = best.schema if best is not None else None
    id, path = id_key(survey, schema), _vocabulary(best, vocabulary)
    return Findings(
        survey=survey,
        fits=fits,
        schema=schema,
        vocabulary=path,
        id=id,
        labels=labels_key(survey, schema),
        frames=_frames(survey, schema),
        doubled=_doubled(survey, id),
        names=store.names if store is not None else _names(path, schema),
        faults=best.faults if best is not None else not_finite(survey.keys.values()),
        has_splits=_has_splits(survey),
        proposed=starting_schema(survey, _word(survey.source)) if best is None else "",
    )


def _vocabulary(best: Fit | None, vocabulary: str) -> Path | None:
    if vocabulary == "auto":
        return best.vocabulary if best is not None else None
    if vocabulary == "none":
        return None
    if not Path(vocabulary).is_file():
        raise ValueError(f"vocabulary must be auto, none or a file, there is none at {vocabulary}")
    return Path(vocabulary)


def _names(path: Path | None, schema: Schema | None) -> list[str] | None:
    if path is None:
        return None
    if schema is None:
        raise ValueError(f"{path} cannot name the labels: no schema fits the records, which says how many there are")
    return read_vocabulary(path, schema.classes)


def _frames(survey: Survey, schema: Schema | None) -> Key | None:
    """The feature list that says how many frames a video has: the schema's first, or the first that was found."""
    if survey.kind == "store":
        return next((key for key in survey.keys.values() if key.steps), None)
    if schema is not None:
        keys = (survey.key(spec.frames, steps=True) for spec in schema.features.values())
        return next((key for key in keys if key is not None), None)
    return next((key for key in survey.keys.values() if key.steps and key.vectors), None)


def _doubled(survey: Survey, id: Key | None) -> tuple[int, str] | None:
    if id is None or id.strings.hashes is None:
        return None
    count, hashes = id.strings.doubled()
    return count, find_doubled(survey, id.name, hashes) if count else ""


def _has_splits(survey: Survey) -> bool:
    try:
        return survey.kind == "TFRecord" and bool(find_sources(survey.source).shards)
    except ValueError:
        return False


def _word(source: str) -> str:
    """A name for a schema from that of the records."""
    word = "".join(each if each.isalnum() else "_" for each in Path(source).name.split(".")[0].lower()).strip("_")
    return word or "my_records"
