"""Which words a classifier reads."""

from typing import Literal

from pydantic import model_validator

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

    @model_validator(mode="after")
    def _check(self) -> "TextOptions":
        if len(set(self.text_fields)) < len(self.text_fields):
            raise ValueError(f"text_fields must be distinct, got {','.join(self.text_fields)}")
        return self
