"""The gate: may this candidate become champion? A decision over numbers, with its reasons; nothing is measured here.

Absolute bars are MLflow's `MetricThreshold`s, held by its `validate_evaluation_results`. The other rules are ours,
because MLflow has no words for them: its least change over a baseline must be above 0 and lets an equal value pass, so
it can neither ask for "better, by however little" nor bound a loss, and it knows nothing of noise. NaN passes its
thresholds (no comparison with NaN is true), so NaN is taken for a missing metric, which fails.
"""

import dataclasses
from pathlib import Path
from typing import Literal

import yaml
from mlflow.models import MetricThreshold
from mlflow.models.evaluation import EvaluationResult
from mlflow.models.evaluation.validation import ModelValidationFailedException, validate_evaluation_results
from pydantic import ValidationError, field_validator

from mmvid.config import Options, explain, option
from mmvid.metrics.bootstrap import Interval

Metric = Literal["gap", "map", "hit_at_1", "perr", "segment_map", "iou", "iou_pooled", "dice"]
Slice = Literal["with_text", "without_text", "rare"]
Cost = Literal["parameters", "megabytes", "milliseconds"]

OF_CLASSES = ("gap", "map")  # what is defined for a part of the classes


class Rules(Options):
    """What a registered model's versions must reach, all measured on the split `gate`, and what its card says."""

    about: str = option("", "what the model is, for people")
    metric: Metric = option("gap", "the metric that decides")
    bars: dict[Metric, float] = option({}, "the least that each metric must reach")
    gain: float = option(0.0, "by how much the metric must exceed the champion's", ge=0)
    confidence: float = option(0.95, "how sure it must be that the gain is no noise; 0 asks nothing", ge=0, lt=1)
    draws: int = option(1000, "draws of the bootstrap over the videos or pictures", ge=100)
    draw_seed: int = option(0, "seed of the draws", ge=0)
    losses: dict[Slice, float] = option({}, "the most that the metric may lose on each slice")
    most: dict[Cost, float] = option({}, "the most parameters, megabytes of weights, milliseconds for one of them")
    intended_use: str = option("", "what it may be used for")
    limits: str = option("", "what it cannot do")
    licence: str = option("", "whose terms hold")
    paper: str = option("", "the paper that it rebuilds")
    table: str = option("", "the table of the paper")
    row: str = option("", "the table's row")

    @field_validator("losses")
    @classmethod
    def _not_below_zero(cls, losses: dict[str, float]) -> dict[str, float]:
        for name, bound in losses.items():
            if bound < 0:
                raise ValueError(f"{name} must be at least 0, got {bound}")
        return losses

    def slice_metric(self, name: Slice) -> str:
        """What is compared on a slice: the deciding metric, or mAP where that is not defined for a part."""
        defined = OF_CLASSES if name == "rare" else ("gap", "map", "hit_at_1", "perr")
        return f"{name}/{self.metric if self.metric in defined else 'map'}"


@dataclasses.dataclass(frozen=True)
class Decision:
    """Whether the candidate passes, and each reason as one sentence."""

    passed: bool
    reasons: tuple[str, ...]


def read_rules(path: Path, name: str) -> Rules:
    """The rules of one registered model.

    Raises:
        ValueError: if the file has no such model or a wrong entry; the message names the file and the entry.
    """
    models = read_models(path)
    if name not in models:
        raise ValueError(f"{path} must state the rules of {name}; it states those of {', '.join(models) or 'none'}")
    try:
        return Rules.model_validate(models[name] or {})
    except ValidationError as error:
        raise ValueError(f"{path}: {name}: {explain(error)}") from error


def read_models(path: Path) -> dict:
    """The registered models of a rules file: name -> its rules as YAML values, not yet checked.

    Raises:
        ValueError: if there is no such file or it is not YAML of that form.
    """
    if not path.is_file():
        raise ValueError(f"rules must be a YAML file, there is none at {path}")
    try:
        models = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} must be YAML: {' '.join(str(error).split())}") from error
    return models if isinstance(models, dict) else {}


def decide(
    candidate: dict[str, float],
    champion: dict[str, float] | None,
    rules: Rules,
    gain: Interval | None = None,
) -> Decision:
    """Holds a candidate's metrics against the bars, and against the champion's.

    Args:
        candidate: metric -> value on `gate`; those of slices as `with_text/gap`, and the costs.
        champion: the same of the champion on the same videos, or None where there is none yet.
        rules: what is asked.
        gain: by how much the candidate's metric exceeds the champion's, and what all but `1 - confidence` of the
            draws of the paired bootstrap exceed (`low`); needed where there is a champion and a confidence.

    A metric that the candidate lacks, or that is NaN, fails.
    """
    checks = [_bar(candidate, metric, bar, True) for metric, bar in rules.bars.items()]
    checks += [_bar(candidate, cost, bar, False) for cost, bar in rules.most.items()]
    value = candidate.get(rules.metric, float("nan"))
    if champion is None:
        checks.append((value == value, f"there is no champion yet; the candidate has {rules.metric} {value:.4f}"))
    else:
        checks.append(_gain(value, champion.get(rules.metric, float("nan")), rules))
        if rules.confidence:
            checks.append(_no_noise(gain, rules))
        checks += [_loss(candidate, champion, rules.slice_metric(name), most) for name, most in rules.losses.items()]
    return Decision(all(passed for passed, _ in checks), tuple(reason for _, reason in checks))


def _bar(metrics: dict[str, float], name: str, bar: float, greater_is_better: bool) -> tuple[bool, str]:
    """One threshold, by MLflow: a call of its own each, for it tells of failures only."""
    value = metrics.get(name, float("nan"))
    threshold = {name: MetricThreshold(threshold=bar, greater_is_better=greater_is_better)}
    known = {name: value} if value == value else {}
    try:
        validate_evaluation_results(threshold, EvaluationResult(metrics=known, artifacts={}))
        held = True
    except ModelValidationFailedException:
        held = False
    if greater_is_better:
        return held, f"{name} {value:.4f} {'reaches' if held else 'misses'} the bar of {bar:.4f}"
    return held, f"{name} {value:,.7g} {'keep' if held else 'exceed'} the bar of {bar:,.7g}"


def _gain(value: float, best: float, rules: Rules) -> tuple[bool, str]:
    better = value > best + rules.gain
    margin = f" by more than {rules.gain:.4f}" if rules.gain else ""
    verb = "beats" if better else "does not beat"
    return better, f"{rules.metric} {value:.4f} {verb} the champion's {best:.4f}{margin}"


def _no_noise(gain: Interval | None, rules: Rules) -> tuple[bool, str]:
    share = f"{100 * rules.confidence:g} %"
    if gain is None:
        return False, f"whether the gain is noise is not known: rules ask for {share} and nothing was drawn"
    sure = gain.low > 0
    what = "the gain is no noise" if sure else "the gain may be noise"
    bound = f"in {share} of {rules.draws:,} draws of the data"
    return sure, f"{what}: {gain.value:+.4f}, {bound} more than {gain.low:+.4f}"


def _loss(candidate: dict[str, float], champion: dict[str, float], name: str, most: float) -> tuple[bool, str]:
    if name not in champion and name not in candidate:
        return True, f"{name}: the data have no such slice"
    value, best = candidate.get(name, float("nan")), champion.get(name, float("nan"))
    if best != best and value != value:
        return True, f"{name}: neither model has a value"
    kept = value >= best - most
    verb = "loses no more than" if kept else "loses more than"
    return kept, f"{name} {value:.4f} {verb} {most:.4f} against the champion's {best:.4f}"
