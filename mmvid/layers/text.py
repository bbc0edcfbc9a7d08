"""Which words a classifier reads."""

from typing import Literal

from mmvid.config import Options, option

FIELDS = ("title", "keywords")


class TextOptions(Options):
    """The text that a classifier reads."""

    text_fields: tuple[Literal["title", "keywords"], ...] = option(
        ("title",), "what to read: title, keywords or both", min_length=1
    )
    label_words: Literal["kept", "removed"] = option(
        "kept", "words of a video's own labels in its text; removed is the paper's variant B"
    )
