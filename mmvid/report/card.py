"""A model card (Mitchell et al. 2019, "Model Cards for Model Reporting", arXiv:1810.03993) as Markdown.

MLflow shows it as the description of a version, whose databases hold 5000 characters: what does not fit is said to be
in the run of the promotion, which keeps the whole card as an artifact.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from mmvid.metrics.bootstrap import Interval
from mmvid.report.table import markdown

LONGEST = 5000
_METRICS = ("gap", "map", "hit_at_1", "perr", "segment_map", "iou", "iou_pooled", "dice")
_SLICES = {
    "": "all",
    "with_text": "with text",
    "without_text": "without text",
    "with_known_word": "with a known word",
    "rare": "rarest half of the classes",
}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a card says.

    Attributes:
        name, version: the registered model and the version's number.
        about, intended_use, limits, licence: as the rules state them; empty ones are said to be unstated.
        what: the model in words, such as "A `moe` classifier of 100 labels".
        unit: what it is given and what is drawn anew: `video` or `picture`.
        options: what it was built and trained with, name -> value.
        data: the data set's title.
        digest: the data set's.
        sizes: split -> number of videos or pictures.
        metrics: on `gate`, `with_text/gap` and so on, with intervals.
        counts: videos of each slice that has its own, `with_text` -> number.
        confidence, draws: of the intervals.
        costs: `parameters`, `megabytes`, `milliseconds`.
        reasons: the gate's, one sentence each.
        passed: its verdict.
        run, promotion: links to the training run and to the promotion's.
        paper: where it comes from, in words; may be empty.
    """

    name: str
    version: str
    about: str
    intended_use: str
    limits: str
    licence: str
    what: str
    unit: str
    options: Mapping[str, object]
    data: str
    digest: str
    sizes: Mapping[str, int]
    metrics: Mapping[str, Interval]
    counts: Mapping[str, int]
    confidence: float
    draws: int
    costs: Mapping[str, float]
    reasons: Sequence[str]
    passed: bool
    run: str
    promotion: str
    paper: str


def card(facts: Facts) -> str:
    """The whole card."""
    options = ", ".join(f"{name} {value}" for name, value in facts.options.items())
    units = f"{facts.unit}s"
    sizes = ", ".join(f"{split} {count:,}" for split, count in facts.sizes.items())
    share = f"{100 * facts.confidence:g} %"
    costs = facts.costs
    size = f"{costs['parameters']:,.0f} parameters, {costs['megabytes']:.2f} MB of weights"
    cost = f"{size}, {costs['milliseconds']:.2f} ms for one {facts.unit}"
    drawn = f"In brackets: where {share} of {facts.draws:,} bootstrap draws of the {units} lie."
    reasons = "\n".join(f"- {reason}" for reason in facts.reasons)
    serve = f"mlflow models serve -m models:/{facts.name}/{facts.version} --env-manager local -p 5001"
    parts = [
        f"# {facts.name}, version {facts.version}",
        _stated(facts.about, "what it is"),
        f"{facts.what}, {cost}. {facts.paper}".strip(),
        f"**Trained** by {facts.run} with {options}.",
        f"**Data**: {facts.data}, digest `{facts.digest}` ({sizes} {units}).",
        f"**Measured** on `gate`, which decides promotions; nothing is trained or tuned on it. {drawn}",
        _table(facts).rstrip(),
        f"**The gate {'let it pass' if facts.passed else 'refused it'}** in {facts.promotion}:\n\n{reasons}",
        f"**Intended use**: {_stated(facts.intended_use, 'the intended use')}",
        f"**Limits**: {_stated(facts.limits, 'its limits')}",
        f"**Licence**: {_stated(facts.licence, 'the licence')}",
        f"**Serve it**\n\n```\n{serve}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def shortened(text: str, rest: str) -> str:
    """A card that MLflow's databases hold: cut after a line where it is too long, with a word on where the rest is."""
    if len(text) <= LONGEST:
        return text
    ending = f"\n\n(The rest is in {rest}.)\n"
    kept = text[: LONGEST - len(ending)].rpartition("\n")[0]
    return kept + ("\n```" if kept.count("```") % 2 else "") + ending


def _table(facts: Facts) -> str:
    """A row a slice, a column a metric; a metric that no slice has gets no column."""
    columns = [name for name in _METRICS if name in facts.metrics]
    rows = []
    for key, title in _SLICES.items():
        names = [f"{key}/{metric}" if key else metric for metric in columns]
        if any(name in facts.metrics for name in names):
            cells = [str(facts.metrics[name]) if name in facts.metrics else "" for name in names]
            count = facts.counts.get(key, facts.counts.get("", 0))
            rows.append([title, f"{count:,}", *cells])
    return markdown(["slice", f"{facts.unit}s", *columns], rows)


def _stated(text: str, what: str) -> str:
    return text or f"(the rules do not state {what})"
