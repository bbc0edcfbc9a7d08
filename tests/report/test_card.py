"""A model card says all that it must, and fits where MLflow keeps it."""

import dataclasses

from mmvid.metrics.bootstrap import Interval
from mmvid.report.card import LONGEST, Facts, card, shortened

FACTS = Facts(
    name="net",
    version="3",
    about="A net for fish",
    intended_use="counting fish",
    limits="knows no birds",
    licence="",
    what="A `moe` classifier of 7 labels",
    unit="video",
    options={"experts": 2, "seed": 0},
    data="lakes",
    digest="d1g35t",
    sizes={"train": 4000, "gate": 100},
    metrics={"gap": Interval(0.5, 0.4, 0.6), "rare/gap": Interval(0.25, 0.1, 0.4), "map": Interval(0.3, 0.2, 0.4)},
    counts={"": 100},
    confidence=0.9,
    draws=500,
    costs={"parameters": 1234567.0, "megabytes": 4.94, "milliseconds": 0.5},
    reasons=("gap 0.5000 reaches the bar of 0.1000",),
    passed=True,
    run="[run a](#/a)",
    promotion="[run b](#/b)",
    paper="It rebuilds the paper, table 4.",
)


def test_a_card_has_all_that_it_must():
    text = card(FACTS)
    for part in (
        "# net, version 3",
        "A net for fish",
        "7 labels, 1,234,567 parameters, 4.94 MB of weights, 0.50 ms for one video. It rebuilds the paper, table 4.",
        "**Trained** by [run a](#/a) with experts 2, seed 0.",
        "lakes, digest `d1g35t` (train 4,000, gate 100 videos)",
        "90 % of 500 bootstrap draws",
        "| all                        | 100    | 0.5000 [0.4000, 0.6000] | 0.3000 [0.2000, 0.4000] |",
        "| rarest half of the classes | 100    | 0.2500 [0.1000, 0.4000] |                         |",
        "**The gate let it pass** in [run b](#/b):\n\n- gap 0.5000 reaches",
        "**Intended use**: counting fish",
        "**Limits**: knows no birds",
        "**Licence**: (the rules do not state the licence)",
        "mlflow models serve -m models:/net/3 ",
    ):
        assert part in text, part
    assert "with text" not in text and shortened(text, "card.md") == text
    assert "refused it" in card(dataclasses.replace(FACTS, passed=False))


def test_a_card_of_a_segmenter_tells_of_pictures():
    found = {"iou": Interval(0.8, 0.7, 0.9), "dice": Interval(0.9, 0.8, 1.0)}
    text = card(dataclasses.replace(FACTS, what="A segmenter of robot: `unet`", unit="picture", metrics=found))
    assert "A segmenter of robot: `unet`, 1,234,567 parameters, 4.94 MB of weights, 0.50 ms for one picture" in text
    assert "500 bootstrap draws of the pictures lie" in text and "gate 100 pictures)" in text
    assert "| 0.8000 [0.7000, 0.9000] | 0.9000 [0.8000, 1.0000] |" in text and "video" not in text


def test_a_card_that_is_too_long_is_cut_and_says_where_the_rest_is():
    text = card(dataclasses.replace(FACTS, limits="it knows no birds. " * 400))
    kept = shortened(text, "card.md of run b")
    assert len(text) > LONGEST >= len(kept) and kept.endswith("(The rest is in card.md of run b.)\n")
    assert kept.count("```") % 2 == 0
