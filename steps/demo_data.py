"""Make the demo data: TFRecords, titles and keywords in the real formats, from a seed.

    mlflow run . -e demo_data -P videos=5000
    python -m steps.demo_data --videos 5000

Writes the folder `demo` below $MMVID_HOME (`data` where it is not set).     Logs  summary.json.
"""

from mmvid.config import parse
from mmvid.console import run_command
from mmvid.dataset import make_demo
from mmvid.records.demo import DemoConfig
from mmvid.runs import Command, RunConfig


def main(argv: list[str]) -> None:
    config, control = parse(argv, DemoConfig, RunConfig, about=__doc__)
    with Command() as command:
        folder = make_demo(command, config, force=control.force, own=True)
    print(f"demo data (made): {folder}")


if __name__ == "__main__":
    run_command(main)
