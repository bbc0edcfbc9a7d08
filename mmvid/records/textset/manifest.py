"""The manifest of a text set: what it was made from, what was lost, and a digest of the whole."""

from typing import Any, ClassVar, Literal

from mmvid.config import Options, option
from mmvid.manifests import StoredManifest
from mmvid.records.splits import SPLITS

FORMAT = 1


class Overlap(Options):
    """How far a field's words are words of the video's own labels: sums over `videos`, in the paper's three readings.

    Only videos count that have a label and a word in the field.
    """

    videos: int = option(0, "videos that have both")
    whole: int = option(0, "of them, those in which the name of a label stands whole")
    labels: float = option(0.0, "sum of the share of a video's labels whose words all occur")
    words: float = option(0.0, "sum of the share of the field's words that are words of the labels")


class FieldCounts(Options):
    """What became of one field, title or keywords: every video is counted once in the first four."""

    absent: int = option(0, "videos without it")
    not_english: int = option(0, "videos whose is not in English")
    unknown: int = option(0, "videos with no word that has a vector")
    known: int = option(0, "videos with such a word")
    known_unlabelled: int = option(0, "videos with such a word that is none of the labels' words")
    words: int = option(0, "words after cleaning")
    known_words: int = option(0, "of them, those that have a vector")
    removed_words: int = option(0, "of those, the words of the video's own labels")
    overlap: Overlap = option(Overlap(), "how far its words are those of the labels")


class SplitCounts(Options):
    """What there is of one split."""

    videos: int = option(0, "videos")
    title: FieldCounts = option(FieldCounts(), "their titles")
    keywords: FieldCounts = option(FieldCounts(), "their keywords")
    both: int = option(0, "videos with a known word in either field")
    either: int = option(0, "videos with a known word in at least one")


class Vectors(Options):
    """Where the vectors came from."""

    place: str = option(..., "their file, or what they were trained on")
    digest: str = option(..., "digest of the file")
    size: int = option(..., "dimensions", ge=1)


class TextSource(Options):
    """Where the text came from."""

    place: str = option("", "files of titles and keywords; none: the store's own columns")
    rows: int | None = option(None, "their rows")
    joined: int | None = option(None, "videos whose id has a row")
    no_video: int | None = option(None, "rows whose id no video has")


class FileEntry(Options):
    """One file."""

    name: str = option(..., "its name in the folder")
    bytes: int = option(..., "its size", ge=0)
    digest: str = option(..., "BLAKE2b of its bytes")


class Manifest(StoredManifest):
    """A text set's manifest."""

    of: ClassVar = "a text set"
    writer: ClassVar = "build_text"
    mark: ClassVar = "store_digest"

    kind: Literal["text set"] = option("text set", "what the folder is")
    format: Literal[FORMAT] = option(FORMAT, "version of the layout")
    digest: str = option(..., "digest of the store, the options and the files")
    store_digest: str = option(..., "digest of the store whose rows these are")
    request: str = option(..., "digest of everything that decides the result")
    options: dict[str, Any] = option(..., "how the text was cleaned")
    vectors: Vectors = option(..., "the word vectors")
    source: TextSource = option(..., "the text")
    words: int = option(..., "V, the distinct words", ge=0)
    distinct_keywords: int = option(..., "of them, those that stand in a video's keywords, of any split", ge=0)
    splits: dict[Literal[SPLITS], SplitCounts] = option(..., "counts of each split")
    files: list[FileEntry] = option(..., "all other files")


def add_counts(one: Options, other: Options) -> Options:
    """The counts of two sets of videos together; both are of one kind."""
    return type(one)(
        **{
            name: add_counts(getattr(one, name), getattr(other, name))
            if isinstance(getattr(one, name), Options)
            else getattr(one, name) + getattr(other, name)
            for name in type(one).model_fields
        }
    )
