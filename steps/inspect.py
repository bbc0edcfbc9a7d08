"""Tell what is in TFRecords of any schema, or in a store.

    mlflow run . -e inspect -P data=/data/yt8m
    python -m steps.inspect --data '/data/yt8m/train*.tfrecord' --limit 100 --page survey.html

Reads  every record of --data: a file, a folder, a pattern, a store, or `demo`.
Logs   survey.html, survey.md, records/read, records/broken, records_per_second.
"""

from pathlib import Path

from mmvid.config import Options, option, parse
from mmvid.console import run_command
from mmvid.dataset import make_demo
from mmvid.durable import replacing
from mmvid.records.demo import DemoConfig
from mmvid.records.schema import load_schema
from mmvid.records.store import Store
from mmvid.records.survey.findings import Findings, interpret
from mmvid.records.survey.scan import find_files, survey_files, survey_store
from mmvid.report import survey as report
from mmvid.runs import Command, Task


class InspectConfig(Options):
    """Looking at records."""

    data: str = option("demo", "a TFRecord file, a folder, a pattern such as 'train*.tfrecord', a store, or `demo`")
    schema_name: str = option("", "schema that records are held to; none: the one that fits is found", alias="schema")
    vocabulary: str = option("auto", "CSV of the labels' names; auto: the schema's file beside the records; none")
    limit: int = option(0, "records to look at of each file; 0 for all", ge=0)
    page: str = option("", "file to write the HTML page to, too")


def main(argv: list[str]) -> None:
    (config,) = parse(argv, InspectConfig, about=__doc__)
    task = Task("inspect", config.model_dump(by_alias=True), {}, (), name=f"inspect {Path(config.data).name}")
    with Command() as command, command.start(task, own=True) as run:
        data = str(make_demo(command, DemoConfig(), keep=True) / "video") if config.data == "demo" else config.data
        found = inspect(data, config)
        text, page = report.terminal(found), report.page(found)
        run.text("survey.md", text)
        run.text("survey.html", page)
        survey = found.survey
        run.report({"records/read": survey.records, "records/broken": survey.broken})
        run.report({"records_per_second": survey.records / survey.seconds})
    print(text)
    if config.page:
        with replacing(Path(config.page)) as path:
            path.write_text(page, encoding="utf-8")
        print(f"page: {Path(config.page).resolve()}")


def inspect(data: str, config: InspectConfig) -> Findings:
    """Reads the records at `data` and makes sense of them."""
    schema = load_schema(config.schema_name) if config.schema_name else None
    if (Path(data) / "manifest.json").exists():
        if schema is not None or config.vocabulary != "auto":
            raise ValueError(f"schema and vocabulary must not be given for a store, {data} has its own")
        return interpret(survey_store(Store.open(data), limit=config.limit), [Path(data)])
    paths = find_files(data)
    # A data set's vocabulary lies beside its shards, or beside the folders of its splits.
    folders = list(dict.fromkeys([Path(data), *(folder for path in paths for folder in list(path.parents)[:2])]))
    surveyed = survey_files(paths, source=data, schema=schema, limit=config.limit)
    return interpret(surveyed, folders, config.vocabulary)


if __name__ == "__main__":
    run_command(main)
