"""Figures of words in any script."""

import io

from mmvid.report.text import Commonest, figure


def test_words_that_the_font_cannot_draw_stand_in_escapes():
    drawn = figure(
        Commonest("commonest words", "occurrences", ["音楽", "café", "שלום", "a" * 9999], [4, 3, 2, 1]), "videos"
    )
    drawn.savefig(io.BytesIO())  # matplotlib warns of each character that it lacks, and warnings are errors here
    labels = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert labels == ["\\u97f3\\u697d", "café", "שלום", "a" * 39 + "…"]
