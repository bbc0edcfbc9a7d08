"""Register a run's model, and make it champion if the gate lets it.

    mlflow run . -e promote -P run=4f0c... -P model=mmvid-moe
    python -m steps.promote --run 4f0c... --model mmvid-moe
    python -m steps.promote --model mmvid-moe --rollback True

Reads  the run's model, the champion, the split `gate` of the data set, and the rules in registry/models.yaml.
Logs   candidate/* and champion/* on `gate`, decision.md; moves the aliases candidate, champion and previous.
"""

from pathlib import Path

from mmvid import experiment, serving
from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.packaging import Package
from mmvid.records.store import Store
from mmvid.registry import gate, versions
from mmvid.runs import Command, Finished, Run, Task, load_run

RULES = Path(__file__).resolve().parents[1] / "registry" / "models.yaml"


class PromoteConfig(Options):
    """Promotion."""

    run: str = option("", "id of the run whose model is the candidate")
    model: str = option("mmvid-moe", "the registered model")
    data: str = option("", "an ingested store to compare on; none means the one that the run was trained on")
    rules: str = option("", "YAML file with the rules of each registered model; none means registry/models.yaml")
    rollback: bool = option(False, "make the previous champion champion again, and nothing else")


def main(argv: list[str]) -> None:
    (config,) = parse(argv, PromoteConfig, about=__doc__)
    task = Task("promote", config.model_dump(), {}, ("mmvid.registry.gate",), name=f"promote {config.model}")
    with Command() as command, command.start(task, own=True) as run:
        if config.rollback:
            if config.run or config.data:
                raise ValueError("rollback must be given without run and data: it only moves the aliases")
            old, new = versions.roll_back(config.model)
            run.text("decision.md", f"Rolled back from version {old} to version {new}.\n")
            print(f"{config.model}: champion is version {new} again, version {old} is previous")
            return
        if not config.run:
            raise ValueError("run must be given: the id of the run whose model is the candidate")
        candidate = load_run(config.run)
        folder = config.data or candidate.tags.get("mmvid.data.store", "")
        if not folder:
            raise ValueError(f"data must be given: run {candidate.id} does not say which store it was trained on")
        decision, version = promote(run, config.model, candidate, Store.open(folder), Path(config.rules or RULES))
    verdict = "is champion" if decision.passed else "stays a candidate"
    print(f"{config.model}: version {version} {verdict}\n" + "\n".join(f"- {reason}" for reason in decision.reasons))


def promote(run: Run, name: str, candidate: Finished, store: Store, rules: Path) -> tuple[gate.Decision, str]:
    """Registers a run's model and lets the gate decide.

    Returns:
        The decision, and the version that holds the candidate.
    """
    stated = gate.read_rules(rules, name)
    package = serving.load_logged(versions.model_uri(candidate))
    if (obstacle := package.obstacle(store)) is not None:
        raise ValueError(f"the model of run {candidate.id} cannot be measured on {store.folder}: {obstacle}")
    version, champion = versions.register(name, candidate), versions.aliased(name, "champion")
    if champion == version:
        decision = gate.Decision(True, (f"version {version} is the champion already",))
    else:
        decision = compare(run, name, package, champion, store, stated)
    if decision.passed:
        versions.crown(name, version)
    versions.note(name, version, decision.passed, decision.reasons)
    reasons = "\n".join(f"- {reason}" for reason in decision.reasons)
    run.text(
        "decision.md",
        f"# {name}, version {version}: {'promoted' if decision.passed else 'refused'}\n\n{reasons}\n",
    )
    run.tags({"mmvid.promoted": decision.passed})
    return decision, version


def compare(
    run: Run, name: str, candidate: Package, champion: str | None, store: Store, rules: gate.Rules
) -> gate.Decision:
    """Measures candidate and champion on `gate` and decides.

    A champion that was trained on other labels cannot be measured there: one of made data gives way, another one stays.
    """
    metrics = measure(run, "candidate", candidate, store)
    if champion is None:
        return gate.decide(metrics, None, rules)
    package = serving.load_logged(f"models:/{name}/{champion}")
    if (obstacle := package.obstacle(store)) is None:
        return gate.decide(metrics, measure(run, "champion", package, store), rules)
    if package.schema.name != "demo":
        reason = f"the champion, version {champion}, stays: it cannot be measured on {store.name}, {obstacle}"
        return gate.Decision(False, (f"{reason}; promote to a registered model of another name",))
    decision = gate.decide(metrics, None, rules)
    return gate.Decision(decision.passed, (f"version {champion} was trained on made data", *decision.reasons))


def measure(run: Run, role: str, package: Package, store: Store) -> dict[str, float]:
    """The metrics of a model on `gate`, logged under `<role>/`."""
    _, metrics = experiment.predict_split(package.model, store, "gate", key=package.key, progress=False)
    run.report({f"{role}/{metric}": value for metric, value in metrics.items()})
    return metrics


if __name__ == "__main__":
    run_command(main)
