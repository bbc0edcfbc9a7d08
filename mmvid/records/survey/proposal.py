"""Which schema fits some records; where none does, the beginning of one."""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from mmvid.records.schema import FeatureSpec, Schema, SegmentSpec, load_schema, schema_names
from mmvid.records.survey.keys import Key, Where
from mmvid.records.survey.scan import Survey
from mmvid.records.vocabulary import read_vocabulary

_MADE = "demo"  # its keys are YouTube-8M's: only its vocabulary tells it apart
_TEXT = ("title", "keywords")  # modalities that a data set's text has already
_ID = re.compile(r"(^|_)id$", re.IGNORECASE)
_MEAN = re.compile(r"^mean_|_mean$")


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a schema fits.

    Attributes:
        objections: why the records are not of this schema, one sentence each; none if they are.
        faults: what is wrong with a few of them, at which an ingest would stop.
        features: modalities that were found.
        vocabulary: the file that names its labels; None if none lies beside the records.
    """

    schema: Schema
    objections: tuple[str, ...]
    faults: tuple[str, ...]
    features: tuple[str, ...]
    vocabulary: Path | None = None


def rank_schemas(survey: Survey, folders: list[Path]) -> list[Fit]:
    """The built-in schemas that share a feature with the records, the best first.

    Args:
        folders: where vocabularies are looked for.
    """
    fits = [fit(survey, load_schema(name), folders) for name in schema_names()]
    return sorted((each for each in fits if each.features), key=lambda each: _rank(survey, each))


def fit(survey: Survey, schema: Schema, folders: list[Path]) -> Fit:
    """Holds a schema to what a survey found."""
    objections, faults, found = [], [], []
    id_key = next((key for name in schema.id_keys if (key := survey.key(name))), None)
    if id_key is None:
        objections.append(f"there is no id under {' or '.join(map(repr, schema.id_keys))}")
    elif id_key.kind not in ("bytes", None):
        objections.append(f"the id {id_key.name!r} holds {id_key.kind}, expected byte strings")
    for modality, spec in schema.features.items():
        keys = [key for key in (survey.key(spec.mean), survey.key(spec.frames, steps=True)) if key and key.kind]
        for key in keys:
            objections += _misfit(key, spec)
            faults += _faults(key, spec)
        found += [modality] * bool(keys)
    labels = survey.key(schema.labels_key)
    if labels is not None and labels.kind is not None:
        objections += _label_misfit(labels, schema)
    return Fit(schema, tuple(objections), tuple(faults), tuple(found), find_vocabulary(schema, folders))


def find_vocabulary(schema: Schema, folders: list[Path]) -> Path | None:
    """The first of a schema's vocabulary files that names its labels."""
    for path in (folder / name for folder in folders for name in schema.vocabulary_files):
        if path.is_file():
            try:
                read_vocabulary(path, schema.classes)
            except ValueError:  # another data set's: two schemas have files of one name
                continue
            return path
    return None


def not_finite(keys: Iterable[Key]) -> tuple[str, ...]:
    """Where NaN or infinity is first among the values of some keys; a sentence a key that has them."""
    found = ((key.name, key.not_finite) for key in keys)
    return tuple(f"{name!r} holds NaN or infinity, first in {place(at)}" for name, at in found if at is not None)


def place(where: Where) -> str:
    """Where a record is, in words."""
    name, number = where
    return f"{name}, rows from {number}" if name.startswith("split ") else f"{name}: record at byte {number}"


def id_key(survey: Survey, schema: Schema | None) -> Key | None:
    """The key of the ids: the schema's, or a string of each record, the one with `id` in its name first."""
    if survey.kind == "store":
        return survey.key("id")
    if schema is not None:
        return next((key for name in schema.id_keys if (key := survey.key(name))), None)
    found = [key for key in survey.keys.values() if key.kind == "bytes" and not key.steps and _may_be_id(key)]
    return min(found, key=lambda key: (not _ID.search(key.name), -key.records), default=None)


def labels_key(survey: Survey, schema: Schema | None) -> Key | None:
    """The key of the labels: the schema's, or integers that are never negative, `label` in their name first."""
    if survey.kind == "store":
        return survey.key("labels")
    if schema is not None:
        return survey.key(schema.labels_key)
    found = [key for key in survey.keys.values() if not key.steps and key.counts is not None]
    named = [key for key in found if "label" in key.name.lower() or "class" in key.name.lower()]
    return (named or found or [None])[0]


def starting_schema(survey: Survey, name: str) -> str:
    """A YAML schema of what was found, which an ingest accepts; empty if the records lack an id or a vector."""
    id, labels = id_key(survey, None), labels_key(survey, None)
    features = _features(survey)
    if id is None or not features:
        return ""
    seen = 0 if labels is None else len(labels.counts)
    content = {"name": name, "classes": max(1, seen), "id_keys": [id.name]}
    if labels is not None:
        content["labels_key"] = labels.name
    longest = max((key.lengths.high for key in survey.keys.values() if key.steps), default=0)
    if longest > 300:
        content["max_frames"] = longest
    told = f"the labels seen go up to {seen - 1}" if seen else "no labels were seen"
    head = f"# Begun from {survey.records} records: name the modalities, and say how many classes there are ({told}).\n"
    shown = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
    listed = yaml.safe_dump({"features": features}, sort_keys=False, default_flow_style=None, allow_unicode=True)
    return head + shown + listed


def _features(survey: Survey) -> dict[str, dict[str, int | str]]:
    """Modality -> its spec: a mean and frames of one size whose keys differ in `mean` only are one modality."""
    features: dict[str, dict[str, int | str]] = {}
    for steps in (True, False):
        for key in survey.keys.values():
            size = _common_size(key)
            if key.steps != steps or size is None or size < 2:
                continue
            name = _MEAN.sub("", key.name) or key.name
            name = f"{name}_features" if name in _TEXT else name
            level = "frames" if steps else "mean"
            spec = features.setdefault(name, {"size": size})
            if spec["size"] != size or level in spec:
                spec = features.setdefault(key.name, {"size": size})
            spec[level] = key.name
    return features


def _common_size(key: Key) -> int | None:
    """D of nearly all vectors; None where it has none, or their sizes differ as those of sentences do."""
    if key.kind != "floats" and not (key.kind == "bytes" and key.steps):
        return None
    counts = (key.sizes if key.steps else key.lengths).counts
    size, times = max(((size, n) for size, n in counts.items() if size), key=lambda pair: pair[1], default=(0, 0))
    return size if times > 0.9 * (counts.total() - counts[0]) else None


def _may_be_id(key: Key) -> bool:
    strings = key.strings
    if strings.hashes is None or strings.binary or key.empty:
        return False
    return bool(_ID.search(key.name)) or strings.doubled()[0] <= 0.01 * key.records


def _misfit(key: Key, spec: FeatureSpec) -> list[str]:
    if key.steps and key.kind == "integers":
        return [f"the steps of {key.name!r} hold integers, expected bytes or floats"]
    if not key.steps and key.kind != "floats":
        return [f"{key.name!r} holds {key.kind}, expected floats"]
    size = _common_size(key)
    if size is None:
        low, high = (each := key.sizes if key.steps else key.lengths).low, each.high
        return [f"{key.name!r} has vectors of {low} to {high} values, expected {spec.size}"]
    return [] if size == spec.size else [f"{key.name!r} has vectors of {size} values, expected {spec.size}"]


def _faults(key: Key, spec: FeatureSpec) -> list[str]:
    faults = []
    if key.other_size is not None and _common_size(key) == spec.size:
        faults.append(f"{key.name!r} has not always {spec.size} values; sizes first differ in {place(key.other_size)}")
    return [*faults, *not_finite([key])]


def _label_misfit(labels: Key, schema: Schema) -> list[str]:
    if labels.kind != "integers":
        return [f"{labels.name!r} holds {labels.kind}, expected integers"]
    summary = labels.summary()
    if summary.count and not (summary.low >= 0 and summary.high < schema.classes):
        got = f"{summary.low:.0f} to {summary.high:.0f}"
        return [f"the labels are {got}, expected 0 to {schema.classes - 1}"]
    return []


def _rank(survey: Survey, each: Fit) -> tuple:
    """Sorts by what speaks for a schema, the strongest first."""
    schema = each.schema
    rated = survey.key((schema.segments or SegmentSpec()).labels) is not None
    return (
        len(each.objections),
        each.vocabulary is None,
        -len(each.features),
        survey.key(schema.id_keys[0]) is None,
        schema.name == _MADE,
        rated != (schema.segments is not None),
        schema.classes,
    )
