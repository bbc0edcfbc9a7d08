"""Titles a second on one core: cleaning and look-up, with language detection, beside what others use.

    python -m benchmarks.text [--data ../shared/data] [--vectors ../shared/data/vectors/english-300d.bin.gz]

The titles are those of `trending` and `yt8m`, again and again. Each row gives the best of five rounds, in CPU seconds;
the target is 20,000 titles a second for cleaning and look-up. `regex` is the cleaning as the authors' script writes it,
one pattern over Unicode classes (package regex); `simple_preprocess` is gensim's, which drops case and short words;
`word_tokenize` is NLTK's.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from gensim.utils import simple_preprocess

from mmvid.text.clean import keyword_words, title_words
from mmvid.text.fields import Cleaning, clean_title
from mmvid.text.labels import LabelNames, overlap, remove
from mmvid.text.vectors import WordVectors, open_vectors

ROUNDS = 5
TITLES = 20_000


def read(data: Path) -> list[dict]:
    """The rows that have a title."""
    rows: list[dict] = []
    for path in [*sorted((data / "trending").glob("*.jsonl")), data / "yt8m" / "titles.jsonl"]:
        rows += map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [row for row in rows if row.get("title")]


def lookup(vectors: WordVectors, words: Callable[[str], Iterable[str]]) -> Callable[[list[str]], None]:
    """Cleans and looks up, a batch at a time as a build does: words that were met are remembered."""

    def run(titles: list[str]) -> None:
        known: dict[str, int] = {}
        for begin in range(0, len(titles), 1000):
            cleaned = [words(title) for title in titles[begin : begin + 1000]]
            new = list({word for each in cleaned for word in each if word not in known})
            known.update(zip(new, vectors.rows(new).tolist(), strict=True))
            for each in cleaned:
                [row for word in each if (row := known[word]) >= 0]

    return run


def each(function: Callable[[str], object]) -> Callable[[list[str]], None]:
    def run(titles: list[str]) -> None:
        for title in titles:
            function(title)

    return run


def by_labels(names: LabelNames) -> Callable[[list[str]], None]:
    def run(titles: list[str]) -> None:
        for number, title in enumerate(titles):
            own = names.of("title", [number % len(names.titles), 0])
            words = title_words(title)
            remove(words, own)
            if words:
                overlap(words, own, 2)

    return run


def regex() -> Callable[[str], object]:
    import regex

    pattern = regex.compile(r"[\p{P}\p{S}]+")
    return lambda title: pattern.sub("", title).split(" ")


def nltk() -> Callable[[str], object]:
    from nltk.tokenize import NLTKWordTokenizer

    return NLTKWordTokenizer().tokenize


def measure(run: Callable[[list], None], titles: list) -> float:
    """Titles a CPU second, the best round."""
    spent = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        run(titles)
        spent.append(time.process_time() - begin)
    return len(titles) / min(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--vectors", default="")
    given = parser.parse_args()
    rows = read(given.data)
    titles = [rows[place % len(rows)]["title"] for place in range(TITLES)]
    keywords = [rows[place % len(rows)].get("keywords") or [] for place in range(TITLES)]
    with tempfile.TemporaryDirectory() as folder:
        place = given.vectors or str(given.data / "vectors" / "english-300d.bin.gz")
        vectors = open_vectors(place, Path(folder))
        names = LabelNames([row["title"] for row in rows[:3862]])
        measured = {
            "ours: cleaning": each(title_words),
            "ours: cleaning and look-up": lookup(vectors, title_words),
            "ours: language, cleaning and look-up": lookup(
                vectors, lambda title: clean_title(title, None, Cleaning()) or []
            ),
            "ours: cleaning, label words removed, overlap": by_labels(names),
            "peer: gensim simple_preprocess and look-up": lookup(vectors, simple_preprocess),
        }
        for name, make in (("regex", regex), ("nltk", nltk)):
            if importlib.util.find_spec(name) is None:
                sys.stderr.write(f"{name}: not installed, passed over\n")
            else:
                measured[f"peer: {name} and look-up"] = lookup(vectors, make())
        print("| what | titles a CPU second |\n| --- | --- |")
        for name, run in measured.items():
            print(f"| {name} | {measure(run, titles):,.0f} |")
        print(f"| ours: cleaning of keywords (videos) | {measure(each(keyword_words), keywords):,.0f} |")


if __name__ == "__main__":
    main()
