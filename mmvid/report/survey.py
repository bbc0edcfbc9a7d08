"""What `inspect` tells about records: as Markdown for a terminal, and as a page."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmvid.records.store import MADE
from mmvid.records.survey.findings import Findings
from mmvid.records.survey.keys import Key
from mmvid.records.survey.tally import Bins
from mmvid.report import html
from mmvid.report.table import markdown

_COLUMNS = ["key", "holds", "records", "shape", "min", "mean", "max", "zeros", "NaN", "example"]
_NUMBERS = ("min", "mean", "max", "zeros", "NaN")
_READABLE = 200  # bytes of a string that are looked at for an example
_LISTED_FILES = 10
_BAR = 24


def terminal(found: Findings, most_labels: int = 10) -> str:
    """The report as Markdown, which a terminal shows well."""
    survey = found.survey
    parts = [f"# {survey.source}\n"]
    parts += [f"- {sentence}" for sentence in _facts(found)]
    parts.append("\n" + _table(_COLUMNS, [_cells(key, survey.intact) for key in survey.keys.values()]))
    for title, bins in (("labels", found.labels_a_video()), ("frames", found.frames_a_video())):
        if bins:
            parts.append(markdown([f"{title} a video", "videos", ""], _bars(bins)))
    if commonest := found.commonest(most_labels):
        parts.append(_table(["label", "name", "times"], [(n, _plain(name), times) for n, name, times in commonest]))
    parts.append(_parts_table(found))
    if found.proposed:
        parts.append(f"A schema to begin with, for `-P schema=FILE.yaml`:\n\n```yaml\n{found.proposed}```\n")
    return "\n".join(parts)


def page(found: Findings, most_labels: int = 25) -> str:
    """The report as an HTML page that needs nothing but itself."""
    survey = found.survey
    spent = f"{survey.source}: read in {survey.seconds:.1f} s, {survey.records / survey.seconds:,.0f} records/s"
    parts = [html.element("h1", Path(survey.source).name), html.element("p", spent, "soft")]
    parts.append(html.tiles(_figures(found)))
    parts += [html.element("div", html.prose(sentence), f"note {mood}") for mood, sentence in _verdicts(found)]
    rows = []
    for key in survey.keys.values():
        summary = key.summary()
        drawn = html.spark(summary.histogram) if summary is not None and len(summary.histogram) > 1 else html.Markup("")
        rows.append([*_cells(key, survey.intact)[:-1], drawn, _example(key)])
    header = [*_COLUMNS[:-1], "central 99.8 %", "example"]
    parts += [html.element("h2", "Keys"), html.table(header, rows, words=("example",), numbers=_NUMBERS)]
    parts.append(html.element("div", _histograms(found), "columns"))
    if commonest := found.commonest(most_labels):
        top = commonest[0][2]
        rows = [[str(label), name, times, html.share_bar(times / top)] for label, name, times in commonest]
        shown = html.table(["label", "name", "times", ""], rows, words=("name",), numbers=("label",))
        parts += [html.element("h2", "Commonest labels"), shown]
    if found.proposed:
        parts += [html.element("h2", "A schema to begin with"), html.element("pre", found.proposed)]
    rows = [[part.name, part.records, part.broken, part.bytes] for part in survey.parts]
    parts.append(html.element("h2", f"{_parts_word(found).capitalize()}s"))
    parts.append(html.table([_parts_word(found), "records read", "broken", "bytes"], rows, words=("file",)))
    return html.page(f"inspect: {survey.source}", parts)


def _facts(found: Findings) -> list[str]:
    survey = found.survey
    size = _size(sum(part.bytes for part in survey.parts))
    read = f"{survey.records:,} records of {_counted_parts(found)} ({size}) read"
    rate = f"in {survey.seconds:.1f} s: {survey.records / survey.seconds:,.0f} records/s"
    return [f"{read} {rate}", *(sentence for _, sentence in _verdicts(found))]


def _verdicts(found: Findings) -> list[tuple[str, str]]:
    """Sentences, each with its mood: `good`, `bad` or none."""
    told, survey = [], found.survey
    if found.schema is not None and found.schema.name == "demo":
        told.append(("", f"{MADE}: these videos do not exist"))
    if survey.limit:
        told.append(("", f"only the first {survey.limit:,} records of each {_parts_word(found)} were looked at"))
    if survey.broken:
        reasons = ", ".join(f"{count} {reason}" for reason, count in survey.reasons.most_common())
        told.append(("bad", f"broken: {survey.broken:,} ({reasons}); the first: {survey.first}"))
    else:
        told.append(("good", "broken: none of the records read"))
    told += _schema_verdicts(found)
    told += [("bad", f"an ingest stops at this, or skips it with on_error=skip: {fault}") for fault in found.faults]
    told.append(_id_verdict(found))
    if found.labels is not None:
        told.append(("", _labels_sentence(found)))
    if found.has_splits and found.schema is not None and not any(mood == "bad" for mood, _ in told):
        data = shlex.quote(survey.source)
        told.append(("", f"next: `mlflow run . -e ingest -P data={data} -P schema={found.schema.name}`"))
    if survey.other_keys:
        told.append(("bad", f"more than {len(survey.keys)} keys: {survey.other_keys:,} features were not looked into"))
    return told


def _schema_verdicts(found: Findings) -> list[tuple[str, str]]:
    if found.survey.kind == "store":
        return [("good", f"schema: {found.schema.name}, as the store's manifest says")]
    if not found.fits:
        return [("bad", "schema: none that comes with mmvid has a key of these records")]
    best = found.fits[0]
    if found.schema is None:
        why = "; ".join(best.objections)
        return [("bad", f"schema: {best.schema.name} is nearest, but does not fit: {why}")]
    told = [("good", f"schema: {best.schema.name} fits ({', '.join(best.features)}){_named(found)}{_others(found)}")]
    return told


def _named(found: Findings) -> str:
    return f"; {found.vocabulary.name} names its labels" if found.vocabulary is not None else ""


def _others(found: Findings) -> str:
    also = [fit.schema.name for fit in found.fits[1:] if not fit.objections and fit.features == found.fits[0].features]
    return f"; {' and '.join(also)} would fit, too" if also else ""


def _id_verdict(found: Findings) -> tuple[str, str]:
    if found.id is None:
        return "bad", "ids: no key looks like an id"
    name, empty = _plain(found.id.name), found.id.strings.empty + found.id.empty
    hidden = f", {empty:,} empty" if empty else ""
    if found.doubled is None:
        return "", f"ids: `{name}`{hidden}; they are too long to be compared"
    count, first = found.doubled
    if count:
        return "bad", f"ids: `{name}`{hidden}, {count:,} come again: {first}"
    return "good", f"ids: `{name}`{hidden}, none comes twice"


def _labels_sentence(found: Findings) -> str:
    labels, unlabelled = found.labels, found.unlabelled
    seen = "" if labels.counts is None else f", {int(np.count_nonzero(labels.counts)):,} different ones"
    without = f"; {unlabelled:,} records have no such key" if unlabelled > 0 else ""
    return f"labels: `{_plain(labels.name)}`, {labels.lengths.mean:.2f} a video{seen}{without}"


def _figures(found: Findings) -> list[tuple[str, str]]:
    survey = found.survey
    figures = [(f"{survey.records:,}", "records"), (f"{len(survey.parts):,}", f"{_parts_word(found)}s")]
    figures.append((_size(sum(part.bytes for part in survey.parts)), "on disk"))
    if found.labels is not None:
        figures.append((f"{found.labels.lengths.mean:.2f}", "labels a video"))
    if found.frames is not None:
        figures.append((f"{found.frames.lengths.mean:.1f}", "frames a video"))
    return [*figures, (f"{survey.broken:,}", "broken records")]


def _histograms(found: Findings) -> list[html.Markup]:
    drawn = []
    for title, bins in (("Labels a video", found.labels_a_video()), ("Frames a video", found.frames_a_video())):
        if bins:
            drawn.append(html.element("div", [html.element("h2", title), html.histogram(bins, "videos")]))
    return drawn


def _cells(key: Key, intact: int) -> list[str]:
    """A key's row, in the order of `_COLUMNS`; `intact` is the number of records that are not broken."""
    share = "all" if key.records >= intact else f"{key.records:,}"
    summary = key.summary()
    numbers = [""] * 5
    if summary is not None and summary.count + summary.nan + summary.infinite:
        zeros = f"{100 * summary.zeros / summary.count:.3g} %" if summary.count else ""
        bad = f"{summary.nan:,}" + (f" + {summary.infinite:,} inf" if summary.infinite else "")
        numbers = [*(f"{value:.4g}" for value in (summary.low, summary.mean, summary.high)), zeros, bad]
    return [_plain(key.name), _holds(key), share, _shape(key), *numbers, _example(key)]


def _holds(key: Key) -> str:
    if key.kind is None:
        return "nothing"
    if key.kind == "bytes":
        return "uint8 frames" if key.vectors else "lists of strings" if key.steps else "strings"
    return f"{key.kind[:-1]} frames" if key.steps else key.kind


def _shape(key: Key) -> str:
    """Values of a record, or steps times values of a step; of single strings their bytes."""
    if key.steps:
        return f"{_range(key.lengths)} x {_range(key.sizes)}"
    if key.kind == "bytes":
        size = f"{_range(key.strings.lengths)} bytes"
        return size if key.lengths.constant == 1 else f"{_range(key.lengths)} of {size}"
    return _range(key.lengths)


def _range(lengths) -> str:
    return f"{lengths.high}" if lengths.constant is not None else f"{lengths.low} to {lengths.high}"


def _example(key: Key) -> str:
    if key.kind == "bytes" and not key.vectors:
        value = bytes(key.example) if key.steps and isinstance(key.example[0], int) else key.example[0]
        try:
            return _plain(value[:_READABLE].decode())
        except UnicodeDecodeError:
            return _plain(repr(value[:12])) + ("..." if value[12:] else "")
    return ", ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in key.example)


def _plain(text: str) -> str:
    """Text from a record, short and without characters that would move a terminal's cursor."""
    shown = text if text.isprintable() else repr(text)
    return shown if len(shown) <= 32 else f"{shown[:29]}..."


def _bars(bins: Bins) -> list[tuple[str, int, str]]:
    most = max(count for _, count in bins)
    return [(label, count, "#" * -(-count * _BAR // most)) for label, count in bins]


def _parts_table(found: Findings) -> str:
    parts, word = found.survey.parts, _parts_word(found)
    rows = [[part.name, part.records, part.broken, _size(part.bytes)] for part in parts[:_LISTED_FILES]]
    more = f"and {len(parts) - _LISTED_FILES} more {word}s\n" if len(parts) > _LISTED_FILES else ""
    return _table([word, "records", "broken", "size"], rows) + more


def _table(header: Sequence[str], rows: Sequence[Sequence[str | int]]) -> str:
    """A Markdown table of texts that may hold its own sign."""
    return markdown(
        header, [[cell.replace("|", "\\|") if isinstance(cell, str) else cell for cell in row] for row in rows]
    )


def _parts_word(found: Findings) -> str:
    return "split" if found.survey.kind == "store" else "file"


def _counted_parts(found: Findings) -> str:
    count = len(found.survey.parts)
    return f"{count:,} {_parts_word(found)}{'s' * (count != 1)}"


def _size(count: int) -> str:
    value, units = float(count), iter(("bytes", "kB", "MB", "GB"))
    unit = next(units)
    while value >= 1000 and (larger := next(units, None)):
        value, unit = value / 1000, larger
    return f"{count} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
