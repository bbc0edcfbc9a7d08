"""The gate: may this candidate become champion? A pure decision over numbers, with its reasons."""

import dataclasses
from pathlib import Path
from typing import Literal

import yaml
from pydantic import ValidationError

from mmvid.config import Options, explain, option

Metric = Literal["gap", "map", "hit_at_1", "perr"]


class Rules(Options):
    """What a registered model's versions must reach, all measured on the split `gate`."""

    about: str = option("", "what the model is, for people")
    metric: Metric = option("gap", "the metric that decides")
    bars: dict[Metric, float] = option({}, "the least that each metric must reach")
    gain: float = option(0.0, "by how much the metric must exceed the champion's", ge=0)


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
    if not path.is_file():
        raise ValueError(f"rules must be a YAML file, there is none at {path}")
    try:
        models = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} must be YAML: {' '.join(str(error).split())}") from error
    if not isinstance(models, dict) or name not in models:
        known = ", ".join(models) if isinstance(models, dict) else "none"
        raise ValueError(f"{path} must state the rules of {name}; it states those of {known}")
    try:
        return Rules.model_validate(models[name] or {})
    except ValidationError as error:
        raise ValueError(f"{path}: {name}: {explain(error)}") from error


def decide(candidate: dict[str, float], champion: dict[str, float] | None, rules: Rules) -> Decision:
    """Holds a candidate's metrics against the bars, and against the champion's.

    Args:
        candidate: metric -> value on `gate`.
        champion: the same of the champion on the same videos, or None where there is none yet.
        rules: bars and gain.

    A metric that the candidate lacks, or that is NaN, fails its bar.
    """
    passed, reasons = True, []
    for metric, bar in rules.bars.items():
        value = candidate.get(metric, float("nan"))
        reached = value >= bar
        passed &= reached
        reasons.append(f"{metric} {value:.4f} {'reaches' if reached else 'misses'} the bar of {bar:.4f}")
    value = candidate.get(rules.metric, float("nan"))
    if champion is None:
        passed &= value == value
        reasons.append(f"there is no champion yet; the candidate has {rules.metric} {value:.4f}")
        return Decision(passed, tuple(reasons))
    best = champion.get(rules.metric, float("nan"))
    better = value > best + rules.gain
    margin = f" by more than {rules.gain:.4f}" if rules.gain else ""
    reasons.append(
        f"{rules.metric} {value:.4f} {'beats' if better else 'does not beat'} the champion's {best:.4f}{margin}"
    )
    return Decision(passed and better, tuple(reasons))
