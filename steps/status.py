"""What is done, running, stale, failed or missing: all runs, or those of a table or of a registered model.

    mlflow run . -e status
    python -m steps.status --table main --data /data/audioset --schema audioset
    python -m steps.status --registered mmvid-moe

Reads  the runs of the tracking server, and the registry.
Ends   runs that are RUNNING though their process is gone, and promotions that a crash cut in two. Computes nothing.
"""

from typing import Literal

from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.dataset import DataConfig, find_dataset
from mmvid.report.table import markdown
from mmvid.runs import Command
from mmvid.upkeep import states
from mmvid.upkeep.states import Standing
from steps.main import setups


class StatusConfig(Options):
    """What to look at."""

    table: Literal["", "main"] = option("", "the rows of a table: of `main` on the data set at --data")
    registered: str = option("", "a registered model; none means all, where no table is given")
    superseded: bool = option(False, "also show runs that a newer one has made needless")
    seed: int = option(0, "seed of the table's trainings", ge=0)


def main(argv: list[str]) -> None:
    config, data = parse(argv, StatusConfig, DataConfig, about=__doc__)
    with Command():
        ended = states.end_zombies()
        if config.table:
            print(shown(table(config, data)))
        elif config.registered:
            print(shown(states.of_model(config.registered)))
        else:
            print(shown([each for each in states.standings() if config.superseded or each.state != "superseded"]))
            print(shown([each for name in states.models() for each in states.of_model(name)]))
    print(f"{len(ended)} runs whose process was gone were ended")


def table(config: StatusConfig, data: DataConfig) -> list[Standing]:
    """How it stands with the rows of `main`'s table."""
    store = find_dataset(data)
    if store is None:
        why = "its data set is not there: main makes and ingests it"
        trainings = setups(config.seed)
        return [
            Standing("missing", f"train_{each.name}", f"{each.name} on {data.data}", "", None, why)
            for each in trainings
        ]
    return states.of_tasks([setup.task(store) for setup in setups(config.seed)])


def shown(standings: list[Standing]) -> str:
    """A row each: state, entry point, name, key, run, and what more there is to say."""
    rows = [
        [each.state, each.entry, each.name, each.key[:12], each.run.id if each.run else "", each.why]
        for each in standings
    ]
    return markdown(["state", "entry point", "what", "key", "run", ""], rows)


if __name__ == "__main__":
    run_command(main)
