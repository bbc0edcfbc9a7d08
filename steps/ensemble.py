"""Blend the predictions of several runs into an ensemble, and log it as a model like any other.

    mlflow run . -e ensemble_mean -P members=4f0c...,91ab...,models:/mmvid-moe@champion
    python -m steps.ensemble forest --members 4f0c...,91ab... --vote mean

Reads  the predictions of each member for `gate` and `validate`, its package, and the data set that it was trained on.
Logs   gate/* and validate/* under the names that training gives them, validate/cut_cost (the GAP that the cut of the
       members' predictions at their best 100 classes would cost), members.md, predictions, the model with its members.

Weights and forests learn from `gate`, each half of it from the other: gate/* of these, too, is out of sample, and so is
what a promotion measures.
"""

import tempfile
from pathlib import Path

from mmvid import blends, ensemble_package, ensemble_serving, ensembling, packaging, predictions
from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.ensembling import Outcome, Source
from mmvid.records.store import Store
from mmvid.report.table import markdown
from mmvid.runs import Command, Finished, Run, RunConfig

METRICS = ("gap", "map", "hit_at_1", "perr")


class MembersConfig(Options):
    """The members."""

    members: tuple[str, ...] = option((), "ids of runs, models:/name/version, models:/name@alias; at least 2")


def main(argv: list[str]) -> None:
    name, config, members, control = parse(argv, blends, MembersConfig, RunConfig, about=__doc__)
    with Command() as command:
        finished = find_or_blend(command, name, config, list(members.members), force=control.force, own=True)
    shown = ", ".join(f"{metric} {finished.metrics[f'validate/{metric}']:.4f}" for metric in METRICS)
    best = finished.metrics["validate/best_member/gap"]
    print(f"{finished.run.info.run_name}: validate {shown} (best member: gap {best:.4f})\nrun {finished.id}")


def find_or_blend(
    command: Command, name: str, config: Options, members: list[str], *, force: bool = False, own: bool = False
) -> Finished:
    """The finished run of an ensemble, made now if there is none.

    Args:
        command: whose run it is.
        name: the blend's, such as `mean`.
        config: its options.
        members: ids of runs and URIs of registered versions.
        force: makes it again.
        own: making it is what the command is for.
    """
    sources = ensembling.find_sources(members)
    store = ensembling.find_store(sources)
    task = ensembling.task(name, config, sources, store)

    def compute(run: Run) -> None:
        run.params({"data": str(store.folder), "members": ",".join(each.run.id for each in sources)})
        run.dataset(store.name, store.digest, str(store.folder), store.profile(), context="gate")
        log_outcome(run, ensembling.run(name, config, sources, store, key=task.key), sources, store)

    return command.find_or_run(task, compute, force=force, own=own)


def log_outcome(run: Run, outcome: Outcome, sources: list[Source], store: Store) -> None:
    """Logs metrics, predictions, the table of members and the model."""
    run.report(outcome.metrics)
    for split, found in outcome.predictions.items():
        with run.file(f"predictions/{split}.arrow") as path:
            predictions.write(found, path)
    package = outcome.package
    described = {
        "ensemble": package.blend,
        "config": package.config.model_dump(mode="json"),
        "members": package.origins,
    }
    run.json("config.json", described)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "package"
        ensemble_package.save(package, place)
        run.tags({"mmvid.model": ensemble_serving.log_model(package, place, packaging.pinned_requirements())})
    texts = {str(each.textset.folder) for each in sources if each.textset is not None}
    if len(texts) == 1:  # what a promotion reads
        run.tags({"mmvid.text.set": texts.pop()})
    run.tags({"mmvid.data.store": store.folder, "mmvid.members": ",".join(package.origins)})
    table = members_table(outcome, sources)
    run.text("members.md", table)
    run.describe(f"{package.name} on {store.title}. {outcome.summary()}\n\n{table}")


def members_table(outcome: Outcome, sources: list[Source]) -> str:
    """The ensemble and its members on `validate` and `gate`, a row each."""
    header = ["model", "weight", *METRICS, "gate gap", "run"]
    weights = weights_of(outcome)
    rows = [["ensemble", "", *_measured(outcome.metrics), "this one"]]
    for source, weight in zip(sources, weights, strict=True):
        shown = "" if weight is None else f"{weight:.3f}"
        rows.append([source.package.name, shown, *_measured(source.run.metrics), source.run.id])
    return markdown(header, rows)


def weights_of(outcome: Outcome) -> list[float | None]:
    """What each member weighs, where the blend has weights."""
    fitted = outcome.package.model.blends
    if not hasattr(fitted[0], "weights"):
        return [None] * len(outcome.package.members)
    return (sum(blend.weights for blend in fitted) / len(fitted)).tolist()


def _measured(metrics: dict[str, float]) -> list[float]:
    return [*(metrics[f"validate/{metric}"] for metric in METRICS), metrics["gate/gap"]]


if __name__ == "__main__":
    run_command(main)
