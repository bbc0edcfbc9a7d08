"""The words of train's titles and keywords, a text a line: what word vectors are trained on where none are given."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from mmvid.durable import replacing
from mmvid.records.store import Store
from mmvid.records.text import NO_TEXT, TextIndex
from mmvid.records.textset.conversion import read_rows
from mmvid.text.fields import Cleaning, clean_keywords, clean_title


class Sentences:
    """The lines of such a file as lists of words, from the start each time it is iterated."""

    def __init__(self, path: Path):
        self.path = path

    def __iter__(self) -> Iterator[list[str]]:
        with open(self.path, encoding="utf-8", newline="\n") as file:
            for line in file:
                yield line.rstrip("\n").split(" ")


def write_sentences(store: Store, index: TextIndex | None, cleaning: Cleaning, path: Path) -> Sentences:
    """Writes the cleaned texts of train; a title and a video's keywords are a text each."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        for entry in store.contents.files:
            if entry.split != "train":
                continue
            reader = pa.ipc.open_file(pa.memory_map(str(store.folder / entry.name)))
            for number in range(reader.num_record_batches):
                for _, _, text in read_rows(reader.get_batch(number), store, index):
                    text = text or NO_TEXT
                    if text.title and (words := clean_title(text.title, text.language, cleaning)):
                        file.write(" ".join(words) + "\n")
                    if text.keywords and (words := clean_keywords(text.keywords, text.language, cleaning)):
                        file.write(" ".join(words) + "\n")
    return Sentences(path)
