"""What a text set has and lost, as Wang et al. 2017 tell it: Table 1, Figures 2 and 3, loss factors, label overlap.

Figures of the paper stand beside ours and are called the paper's; what it does not state is left blank.
"""

import collections
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure

from mmvid.records.store import MADE, Store
from mmvid.records.textset import FIELDS, TextSet
from mmvid.records.textset.manifest import SplitCounts
from mmvid.records.vocabulary import stated
from mmvid.report import html
from mmvid.report.table import markdown
from mmvid.text.clean import keyword_words

PAPER_TRAIN = {"videos": 3_905_000, "keywords": 2_578_000, "title": 3_084_000, "both": 2_473_000}
PAPER_KEYWORDS = 48_000
PAPER_KEYWORDS_A_VIDEO = 8.23
PAPER_OVERLAP = "about 10 %"
COMMONEST = 20
_LONGEST = 40  # characters of a word in a figure

Cell = str | float


@dataclass(frozen=True)
class Table:
    """A table with its heading."""

    heading: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Commonest:
    """The commonest words of something, the first the commonest."""

    heading: str
    unit: str
    words: Sequence[str]
    counts: Sequence[int]


def tables(textset: TextSet) -> list[Table]:
    """All tables of a text set."""
    return [_table1(textset), _losses(textset), _vocabulary(textset), _overlap(textset)]


def commonest_keywords(textset: TextSet) -> Commonest:
    """Figure 2: the commonest words in the keywords of train."""
    counts = np.asarray(textset.word_counts[:, FIELDS.index("keywords")])
    first = np.argsort(-counts, kind="stable")[:COMMONEST]
    first = first[counts[first] > 0]
    words = [textset.words[id] for id in first]
    return Commonest("Figure 2: commonest words in keywords", "occurrences in train", words, counts[first].tolist())


def commonest_label_words(store: Store) -> Commonest:
    """Figure 3: the commonest words in the names of train's labels; a name counts once for each of its videos."""
    counts: collections.Counter[str] = collections.Counter()
    for name, videos in zip(stated(store.names), store.label_counts("train").tolist(), strict=True):
        for word in keyword_words([name]):
            counts[word] += videos
    found = sorted((item for item in counts.items() if item[1]), key=lambda item: (-item[1], item[0]))[:COMMONEST]
    heading = "Figure 3: commonest words in labels"
    return Commonest(heading, "occurrences in train", [word for word, _ in found], [count for _, count in found])


def figure(commonest: Commonest, title: str) -> Figure:
    """The commonest words as bars, the commonest at the top."""
    drawn = Figure(figsize=(7, 0.3 * max(len(commonest.words), 4) + 1.4), layout="constrained")
    axes = drawn.add_subplot()
    places = range(len(commonest.words))
    bars = axes.barh(places, commonest.counts, color="#4a7fb5")
    axes.bar_label(bars, [f"{count:,}" for count in commonest.counts], padding=3, fontsize=8)
    axes.set_yticks(places, [_drawable(word) for word in commonest.words])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(commonest.unit)
    axes.set_title(f"{commonest.heading}\n{title}", fontsize=11)
    return drawn


def as_markdown(textset: TextSet, store: Store) -> str:
    """The whole report for a terminal and the run's page."""
    parts = [f"# Text of {store.title}\n", *(f"- {sentence}" for sentence in _facts(textset, store)), ""]
    for table in tables(textset):
        rows = [[cell.replace("|", "\\|") if isinstance(cell, str) else cell for cell in row] for row in table.rows]
        parts.append(f"## {table.heading}\n\n{markdown(table.header, rows)}")
    for found in (commonest_keywords(textset), commonest_label_words(store)):
        rows = list(zip(found.words, map(_counted, found.counts), strict=True))
        parts.append(f"## {found.heading}\n\n{markdown(['word', found.unit], rows)}")
    return "\n".join(parts)


def as_page(textset: TextSet, store: Store) -> str:
    """The whole report as a page."""
    title = f"Text of {store.title}"
    return html.page(title, [html.element("h1", title), *page_parts(textset, store)])


def page_parts(textset: TextSet, store: Store) -> list[html.Markup]:
    """The report for a page of its own or as a part of another."""
    parts = [html.element("p", html.prose(sentence), "note") for sentence in _facts(textset, store)]
    for table in tables(textset):
        right = [name for name in table.header[1:] if name != "of"]
        rows = [[f"{cell:.4f}" if isinstance(cell, float) else cell for cell in row] for row in table.rows]
        parts += [html.element("h2", table.heading), html.table(table.header, rows, numbers=right)]
    for found in (commonest_keywords(textset), commonest_label_words(store)):
        most = max(found.counts, default=1)
        rows = [
            [word, _counted(count), html.share_bar(count / most)]
            for word, count in zip(found.words, found.counts, strict=True)
        ]
        parts += [
            html.element("h2", found.heading),
            html.table(["word", found.unit, ""], rows, words=["word"], numbers=[found.unit]),
        ]
    return parts


def _facts(textset: TextSet, store: Store) -> list[str]:
    contents = textset.contents
    facts = [f"{store.title}: these videos and their text do not exist"] if store.title == MADE else []
    facts.append(f"word vectors: `{contents.vectors.place}`, {contents.vectors.size} dimensions")
    source = contents.source
    if source.place:
        facts.append(
            f"text: `{source.place}`, {source.rows:,} rows; {source.joined:,} videos have one, "
            f"the ids of {source.no_video:,} rows have no video"
        )
    options = contents.options
    facts.append(f"cleaning: {options['cleaning']}; label words removed: {options['removal']}")
    only = ["English"] if options["cleaning"]["english"] == "detected" else []
    languages = options["cleaning"].get("languages") or only
    read = f", in {' or '.join(languages)}," if languages else ""
    facts.append(f"a video counts as with a title or keywords where a word of it{read} has a vector")
    return facts


def _table1(textset: TextSet) -> Table:
    header = ["split", "videos", "with keywords", "with title", "with both"]
    counted = [(split, textset.counts(split)) for split in textset.splits]
    rows: list[list[Cell]] = [[split, *map(_counted, _four(counts))] for split, counts in counted]
    rows.append(["all", *map(_counted, np.sum([_four(counts) for _, counts in counted], axis=0).tolist())])
    paper = [f"{PAPER_TRAIN[name] / 1e6:.3f} M" for name in ("videos", "keywords", "title", "both")]
    rows.append(["train (the paper's YouTube-8M-Text)", *paper])
    train = textset.counts("train")
    if train.videos:
        shares = [f"{count / train.videos:.1%}" for count in _four(train)]
        rows.append(["train, shares", *shares])
    shares = [f"{PAPER_TRAIN[name] / PAPER_TRAIN['videos']:.1%}" for name in ("videos", "keywords", "title", "both")]
    rows.append(["train, shares (the paper's)", *shares])
    return Table("Table 1: videos with text", header, rows)


def _four(counts: SplitCounts) -> list[int]:
    return [counts.videos, counts.keywords.known, counts.title.known, counts.both]


def _losses(textset: TextSet) -> Table:
    header = [
        "split",
        "of",
        "videos",
        "no metadata",
        "not English",
        "no known word",
        "kept",
        "kept without label words",
    ]
    rows = []
    for split in textset.splits:
        counts = textset.counts(split)
        for name in FIELDS:
            each = getattr(counts, name)
            lost = (counts.videos, each.absent, each.not_english, each.unknown, each.known, each.known_unlabelled)
            rows.append([split, name, *map(_counted, lost)])
    return Table("Loss factors", header, rows)


def _vocabulary(textset: TextSet) -> Table:
    keywords = [textset.counts(split).keywords for split in textset.splits]
    titles = [textset.counts(split).title for split in textset.splits]
    rows: list[list[Cell]] = [
        ["distinct words", _counted(len(textset)), ""],
        ["distinct keywords", _counted(textset.contents.distinct_keywords), f"about {PAPER_KEYWORDS:,}"],
    ]
    for name, fields, paper in (("keywords", keywords, f"{PAPER_KEYWORDS_A_VIDEO}"), ("title words", titles, "")):
        known, words, videos = (sum(getattr(each, key) for each in fields) for key in ("known_words", "words", "known"))
        rows.append([f"{name} a video that has some", f"{known / videos:.2f}" if videos else "", paper])
        lost = f"{_counted(words - known)} of {_counted(words)} ({(words - known) / words:.1%})" if words else "0"
        rows.append([f"{name} without a vector, dropped", lost, ""])
    return Table("Words, over all splits", ["", "ours", "the paper's"], rows)


def _overlap(textset: TextSet) -> Table:
    rows: list[list[Cell]] = []
    for name in FIELDS:
        found = [getattr(textset.counts(split), name).overlap for split in textset.splits]
        videos = sum(each.videos for each in found)
        readings = {
            "videos in which the name of a label stands whole": sum(each.whole for each in found),
            "a video's labels whose words all occur, mean share": sum(each.labels for each in found),
            f"words of the {name} that are words of the labels, mean share": sum(each.words for each in found),
        }
        for reading, total in readings.items():
            share = f"{total / videos:.1%}" if videos else ""
            rows.append([name, reading, _counted(videos), share, PAPER_OVERLAP])
    header = ["field", "reading of label overlap", "videos", "ours", "the paper's (one figure, reading not stated)"]
    return Table("Label overlap, over all splits", header, rows)


def _counted(count: int) -> str:
    return f"{count:,}"


def _drawable(word: str) -> str:
    """A word that no drawing reads as mathematics: escapes where the font lacks a character, cut where it is long."""
    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    if not all(font.get_char_index(ord(character)) for character in word):
        word = word.encode("ascii", "backslashreplace").decode()
    word = word if len(word) <= _LONGEST else f"{word[: _LONGEST - 1]}…"
    return word.replace("$", r"\$")
