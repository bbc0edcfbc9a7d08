"""Remove what nobody needs: superseded runs with their artifacts; stores, checkpoints and locks without a run.

    mlflow run . -e clean -P dry_run=True
    python -m steps.clean
    python -m steps.clean --yes True

Never removes a run that a version of a registered model refers to. Asks first, where there is a terminal.
"""

import sys

from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.report.table import markdown
from mmvid.runs import Command
from mmvid.upkeep import cleaning, states


class CleanConfig(Options):
    """What to do."""

    yes: bool = option(False, "remove without asking")
    dry_run: bool = option(False, "say what would be removed, and remove nothing")


def main(argv: list[str]) -> None:
    (config,) = parse(argv, CleanConfig, about=__doc__)
    with Command():
        states.end_zombies()
        rubbish = cleaning.plan()
        if not rubbish:
            print("there is nothing to remove")
            return
        print(markdown(["kind", "what", "why", "bytes"], [[r.kind, r.what, r.why, r.bytes] for r in rubbish]))
        total = f"{len(rubbish)} things, {sum(each.bytes for each in rubbish):,} bytes"
        if config.dry_run:
            print(f"a dry run: {total} would be removed")
            return
        if not config.yes and not agreed(total):
            print("nothing was removed")
            return
        for each in rubbish:
            each.remove()
    print(f"removed {total}; `mlflow gc` empties MLflow's trash")


def agreed(total: str) -> bool:
    """Asks on the terminal.

    Raises:
        ValueError: if there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise ValueError(f"yes must be True to remove {total} where nobody can be asked; nothing was removed")
    return input(f"remove {total}? [y/N] ").strip().lower() in ("y", "yes")


if __name__ == "__main__":
    run_command(main)
