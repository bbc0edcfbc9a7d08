"""Register a run's model, and make it champion if the gate lets it.

    mlflow run . -e promote -P run=4f0c... -P model=mmvid-moe
    python -m steps.promote --run 4f0c... --model mmvid-moe --dry_run True
    python -m steps.promote --run 9c0e... --model mmvid-segmenter
    python -m steps.promote --model mmvid-moe --copy_to http://models.example:5000
    python -m steps.promote --model mmvid-moe --rollback True

Reads  the run's model, the champion, the split `gate` of the data set (its text set, too, for a model that reads words:
       the one that the run read, or --text_set), and the rules in registry/models.yaml.
Logs   candidate/* and champion/* on `gate` with a nested run each, gain, decision.md, card.md; writes the card onto the
       version and moves the aliases candidate, champion and previous.
"""

from pathlib import Path

from mmvid import subjects
from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.promotion import promote
from mmvid.records.store import Store
from mmvid.records.textset import TextSet
from mmvid.registry import copying, versions
from mmvid.runs import Command, Finished, Run, Task, load_run
from mmvid.subjects import Subject

RULES = Path(__file__).resolve().parents[1] / "registry" / "models.yaml"


class PromoteConfig(Options):
    """Promotion."""

    run: str = option("", "id of the run whose model is the candidate")
    model: str = option("mmvid-moe", "the registered model")
    data: str = option("", "an ingested store to compare on; none means the one that the run was trained on")
    text_set: str = option("", "the data's text set, for a model that reads words; none means the run's")
    rules: str = option("", "YAML file with the rules of each registered model; none means registry/models.yaml")
    dry_run: bool = option(False, "decide, but neither register nor move anything")
    rollback: bool = option(False, "make the previous champion champion again, and nothing else")
    copy_to: str = option("", "URI of another MLflow server, to which the champion is copied with its training run")


def main(argv: list[str]) -> None:
    (config,) = parse(argv, PromoteConfig, about=__doc__)
    task = Task("promote", config.model_dump(), {}, ("mmvid.promotion",), name=f"promote {config.model}")
    with Command() as command, command.start(task, own=True) as run:
        if config.rollback:
            roll_back(run, config)
            return
        if not (config.run or config.copy_to):
            raise ValueError("run must be given: the id of the run whose model is the candidate")
        passed = put_forward(command, run, config) if config.run else True
        if config.copy_to and passed and not config.dry_run:
            here, there = copying.copy_champion(config.model, config.copy_to)
            place = copying.public(config.copy_to)
            run.tags({"mmvid.copied_to": f"{place} {config.model} version {there}"})
            print(f"{config.model}: version {here} is champion on {place}, as version {there}")


def put_forward(command: Command, run: Run, config: PromoteConfig) -> bool:
    """Lets the gate decide on the run's model; says what it decided."""
    candidate = load_run(config.run)
    folder = config.data or candidate.tags.get("mmvid.data.store", "")
    if not folder:
        raise ValueError(f"data must be given: run {candidate.id} does not say which store it was trained on")
    rules = Path(config.rules or RULES)
    subject = subject_of(candidate, folder, config.text_set)
    made = promote(command, run, config.model, candidate, subject, rules, dry_run=config.dry_run)
    passed = made.decision.passed
    if config.dry_run:
        said = f"a dry run: the candidate {'would be' if passed else 'would not be'} champion"
    else:
        said = f"version {made.version} {'is champion' if passed else 'stays a candidate'}"
    print(f"{config.model}: {said}\n" + "\n".join(f"- {reason}" for reason in made.decision.reasons))
    return passed


def subject_of(candidate: Finished, store: Store | str, text_set: str = "") -> Subject:
    """What a run's model is measured on: a store, or the labelled frames of one where the run was trained on such."""
    if subjects.LABELLED in candidate.tags:
        return subjects.Segmentation.of_run(candidate.tags, str(getattr(store, "folder", store)))
    opened = Store.open(store) if isinstance(store, str) else store
    return subjects.Classification(opened, read_textset(candidate, text_set))


def promoted(command: Command, name: str, candidate: Finished, store: Store | str) -> str:
    """Puts a run before the gate of a registered model; says who is champion afterwards, and why."""
    with command.start(Task("promote", {"model": name, "run": candidate.id}, {}, (), name=f"promote {name}")) as run:
        decision = promote(command, run, name, candidate, subject_of(candidate, store), RULES).decision
    champion = versions.aliased(name, "champion")
    holder = f"champion is version {champion}" if champion else "there is no champion"
    return f"- {name}: {holder} ({'; '.join(decision.reasons)})"


def read_textset(candidate: Finished, place: str) -> TextSet | None:
    """The text set at `place`, or the one that a run read; None where it read no words.

    Raises:
        ValueError: if there is none at the place any more.
    """
    folder = place or candidate.tags.get("mmvid.text.set", "")
    if not folder:
        return None
    try:
        return TextSet.open(folder)
    except ValueError as error:
        raise ValueError(f"text_set must be given, or made again by build_text: {error}") from error


def roll_back(run: Run, config: PromoteConfig) -> None:
    """Makes the previous champion champion again."""
    if config.run or config.data or config.copy_to or config.dry_run:
        raise ValueError("rollback must be given without run, data, copy_to and dry_run: it only moves the aliases")
    old, new = versions.roll_back(config.model)
    run.text("decision.md", f"Rolled back from version {old} to version {new}.\n")
    print(f"{config.model}: champion is version {new} again, version {old} is previous")


if __name__ == "__main__":
    run_command(main)
