"""From options to a text set: where its text and its word vectors come from, and the key that it is found by."""

import hashlib
import sys
import tempfile
from pathlib import Path

from mmvid.config import deciding, option
from mmvid.records.gathered import index_texts
from mmvid.records.rows import find_row_files
from mmvid.records.store import Store
from mmvid.records.text import Repeats
from mmvid.records.textset import TextSet, building
from mmvid.records.textset.sentences import write_sentences
from mmvid.runs import Task, home
from mmvid.text.fields import Cleaning, CleaningOptions
from mmvid.text.labels import Removal
from mmvid.text.multilingual import AlignedVectors, open_any, places_by_language
from mmvid.text.vectors import WordVectors, train_vectors


class TextConfig(CleaningOptions):
    """The words of titles and keywords."""

    vectors: str = option(
        "",
        "word vectors (file, s3://), or aligned ones by language (en=a.bin,es=b.vec); none: trained on the data's text",
        decides=False,
    )
    titles: str = option(
        "", "titles and keywords: JSON Lines, CSV, Parquet; file, pattern, s3://; none: the data's", decides=False
    )
    repeats: Repeats = option(
        "stop", "an id that has several rows in titles stops the build (stop), or its first row counts (first)"
    )
    label_removal: Removal = option("words", "remove each word of a video's label names, or whole names (phrases)")

    @property
    def cleaning(self) -> Cleaning:
        stated = {name: getattr(self, name) for name in CleaningOptions.model_fields}
        return Cleaning(**stated, languages=tuple(places_by_language(self.vectors)))


def task_of(store: Store, config: TextConfig) -> Task:
    """What a text set is, as a task: its key is that of the store, the options, the text files and the vectors."""
    inputs = {"data": store.digest}
    if config.titles:
        told = repr([(file.name, file.size, file.version) for file in find_row_files(config.titles)])
        inputs["titles"] = hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
    if config.vectors:
        inputs["vectors"] = _given(config).digest
    modules = ("mmvid.textual", "mmvid.records.textset.building")
    return Task("build_text", deciding(config), inputs, modules, name=f"text of {store.title}")


def place_of(store: Store, task: Task) -> Path:
    """The folder of a task's text set."""
    return home() / "texts" / f"{store.folder.name}-{task.key[:12]}"


def build(store: Store, config: TextConfig, place: Path) -> TextSet:
    """Builds a text set at `place`, or goes on with what a killed build left there.

    Raises:
        ValueError: if a file is not as it must be. OSError: if it cannot be read.
    """
    with tempfile.TemporaryDirectory(dir=_made(home() / "texts"), prefix=".gathered-") as scratch:
        files = find_row_files(config.titles) if config.titles else []
        index = index_texts(files, Path(scratch) / "text.jsonl", config.repeats) if files else None
        if index is not None and index.repeated:
            sys.stderr.write(f"titles: {index.repeated} rows were left out, their id has an earlier row\n")
        vectors = _given(config)
        if vectors is None:
            folder = _made(home() / "vectors") / f"own-{place.name}"
            if not (folder / "manifest.json").exists():
                texts = write_sentences(store, index, config.cleaning, Path(scratch) / "sentences.txt")
                vectors = train_vectors(texts, folder)
            else:
                vectors = WordVectors.open(folder)
        return building.build(
            store, place, vectors, cleaning=config.cleaning, removal=config.label_removal, index=index
        )


def _given(config: TextConfig) -> WordVectors | AlignedVectors | None:
    return open_any(config.vectors, home() / "vectors") if config.vectors else None


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
