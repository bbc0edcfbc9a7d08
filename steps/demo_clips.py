"""Make the demo clips, an arm that pushes blocks over a table, with exact masks of both, from a seed.

    mlflow run . -e demo_clips -P clips=1000 --env-manager local
    python -m steps.demo_clips --clips 1000

Writes a store below `stores` in $MMVID_HOME (`data` where it is not set).
Logs   manifest.json, clips/<split>, the data set's digest.
"""

from mmvid.clips.demo import DemoConfig
from mmvid.clipset import make_demo
from mmvid.config import parse
from mmvid.console import run_command
from mmvid.runs import Command, RunConfig


def main(argv: list[str]) -> None:
    config, control = parse(argv, DemoConfig, RunConfig, about=__doc__)
    with Command() as command:
        store = make_demo(command, config, force=control.force, own=True)
    counts = ", ".join(f"{split} {store.count(split)}" for split in store.splits)
    print(f"demo clips (made): {store.folder}\nclips: {counts}\ndigest: {store.digest}")


if __name__ == "__main__":
    run_command(main)
