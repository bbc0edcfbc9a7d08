"""A promotion from the run to the champion: register, measure, decide, write the card, move the aliases.

Both models are measured in nested runs on one data set. Nothing is moved before the verdict and the card are written
down, and the aliases move only if the champion is still the one that the candidate was held against: where another
promotion came between, the candidate is held against the new champion.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from mmvid.links import run_link
from mmvid.metrics.bootstrap import Interval
from mmvid.registry import gate, measurement, versions
from mmvid.registry.gate import Decision, Rules
from mmvid.registry.measurement import Measured
from mmvid.report import card
from mmvid.runs import Command, Finished, Run, Task
from mmvid.subjects import Subject

MODULES = ("mmvid.registry.gate", "mmvid.registry.measurement", "mmvid.registry.mask_measurement")
_UNREGISTERED = "(none: a dry run)"


@dataclasses.dataclass(frozen=True)
class Promotion:
    """What came of it: the decision, and the version that holds the candidate."""

    decision: Decision
    version: str


@dataclasses.dataclass(frozen=True)
class _Candidate:
    """A candidate and where it is to go."""

    name: str
    run: Finished
    package: Any
    subject: Subject
    rules: Rules


def promote(
    command: Command,
    run: Run,
    name: str,
    candidate: Finished,
    subject: Subject,
    rules: Path,
    *,
    dry_run: bool = False,
) -> Promotion:
    """Registers a run's model and lets the gate decide.

    Args:
        command: whose nested runs measure.
        run: the promotion's own run.
        name: the registered model.
        candidate: the run whose model it is.
        subject: the kind of model, and what is measured on, the champion too.
        rules: the rules file.
        dry_run: decides, and neither registers nor moves anything.

    Raises:
        ValueError: if the rules are wrong, the run has no model, or the model cannot be measured on the data.
    """
    stated = gate.read_rules(rules, name)
    package = subject.load(versions.model_uri(candidate))
    if (obstacle := subject.obstacle(package)) is not None:
        raise ValueError(f"the model of run {candidate.id} cannot be measured on {subject.place}: {obstacle}")
    if dry_run:
        version = versions.version_of(name, candidate) or _UNREGISTERED
    else:
        versions.repair(name)
        version = versions.register(name, candidate)
    if versions.aliased(name, "champion") == version:  # its card keeps the reasons it was promoted for
        decision = Decision(True, (f"version {version} is the champion already",))
        run.text("decision.md", _told(name, version, decision))
        return Promotion(decision, version)
    held = _Candidate(name, candidate, package, subject, stated)
    measured = _measure(command, run, "candidate", package, subject)
    sure = measurement.intervals(measured, draws=stated.draws, confidence=stated.confidence, seed=stated.draw_seed)
    while True:
        champion = versions.aliased(name, "champion")
        decision = _decide(command, run, held, measured, champion)
        text = card.card(_facts(held, version, measured, sure, decision, run))
        run.text("card.md", text)
        run.text("decision.md", _told(name, version, decision))
        if dry_run:
            break
        if not decision.passed and versions.was_crowned(name, version):
            versions.note_refusal(name, version, run.id)
            break
        shown = card.shortened(text, f"card.md of run {run.id}")
        versions.note(name, version, shown, _tags(stated, subject, candidate, run, decision))
        if not decision.passed or versions.crown(name, version, expected=champion):
            break
        sys.stderr.write(f"{name}: another promotion was quicker; version {version} is held against its champion\n")
    run.tags({"mmvid.promoted": decision.passed and not dry_run, "mmvid.data.digest": subject.digest})
    return Promotion(decision, version)


def _decide(command: Command, run: Run, held: _Candidate, measured: Measured, champion: str | None) -> Decision:
    """Holds the candidate against the champion.

    A champion that was trained on other labels cannot be measured here: one of made data gives way, another one stays.
    """
    if champion is None:
        return gate.decide(measured.metrics, None, held.rules)
    subject = held.subject
    package = subject.load(f"models:/{held.name}/{champion}")
    if (obstacle := subject.obstacle(package)) is not None:
        if subject.is_of_made_data(package):
            decision = gate.decide(measured.metrics, None, held.rules)
            return Decision(decision.passed, (f"version {champion} was trained on made data", *decision.reasons))
        reason = f"the champion, version {champion}, stays: it cannot be measured on {subject.name}, {obstacle}"
        return Decision(False, (f"{reason}; promote to a registered model of another name",))
    best = _measure(command, run, "champion", package, subject)
    rules, gain = held.rules, None
    if rules.confidence and rules.metric in measured.measures:
        gain = measurement.gain_of(
            measured, best, rules.metric, draws=rules.draws, confidence=rules.confidence, seed=rules.draw_seed
        )
        run.report({"gain": gain.value, "gain/lower_bound": gain.low})
    return gate.decide(measured.metrics, best.metrics, rules, gain)


def _measure(command: Command, parent: Run, role: str, package: Any, subject: Subject) -> Measured:
    """Measures a model in a nested run, and tells the parent under `<role>/`."""
    task = Task("measure", {"role": role, "model": package.key}, subject.inputs, MODULES, f"measure {role}")
    with command.start(task) as run:
        run.dataset(subject.name, subject.digest, subject.place, subject.profile(), context=measurement.SPLIT)
        measured = subject.measure(package)
        run.report(measured.metrics)
        with run.file(f"predictions/{measurement.SPLIT}.arrow") as path:
            subject.write(measured, path)
    parent.report({f"{role}/{metric}": value for metric, value in measured.metrics.items()})
    return measured


def _facts(
    held: _Candidate, version: str, measured: Measured, sure: dict[str, Interval], decision: Decision, run: Run
) -> card.Facts:
    rules, subject = held.rules, held.subject
    names = ("with_text", "without_text", "with_known_word")
    counts = {name: int(measured.metrics[f"{name}/videos"]) for name in names if f"{name}/videos" in measured.metrics}
    params = held.run.run.data.params
    told = (*subject.options(held.package), "epochs", "batch_size", "learning_rate", "loss", "seed", "members")
    where = [word for word in (rules.paper, rules.table and f"table {rules.table}", rules.row) if word]
    return card.Facts(
        name=held.name,
        version=version,
        about=rules.about,
        intended_use=rules.intended_use,
        limits=rules.limits,
        licence=rules.licence,
        what=subject.what(held.package),
        unit=subject.unit,
        options={name: params[name] for name in told if params.get(name) not in (None, "", "()", "[]")},
        data=subject.title,
        digest=subject.digest,
        sizes=subject.splits,
        metrics=sure,
        counts=counts | {"": len(measured.predictions)},
        confidence=rules.confidence or 0.95,
        draws=rules.draws,
        costs=measured.metrics,
        reasons=decision.reasons,
        passed=decision.passed,
        run=run_link(held.run.run.info.experiment_id, held.run.id),
        promotion=run_link(run.client.get_run(run.id).info.experiment_id, run.id),
        paper=f"It rebuilds {', '.join(where)}." if where else "",
    )


def _tags(rules: Rules, subject: Subject, candidate: Finished, run: Run, decision: Decision) -> dict[str, str]:
    """What the version can be searched by; what the run says of table and row goes before the rules."""
    stated = {f"mmvid.{name}": getattr(rules, name) for name in ("paper", "table", "row")}
    stated |= {name: candidate.tags[name] for name in stated if name in candidate.tags}
    verdict = "passed" if decision.passed else "refused"
    tags = {"mmvid.gate": verdict, "mmvid.data.digest": subject.digest, "mmvid.promotion": run.id}
    return tags | {name: value for name, value in stated.items() if value}


def _told(name: str, version: str, decision: Decision) -> str:
    reasons = "\n".join(f"- {reason}" for reason in decision.reasons)
    return f"# {name}, version {version}: {'promoted' if decision.passed else 'refused'}\n\n{reasons}\n"
