"""`--data` to an opened store: the demo is made, TFRecords are ingested, a store is opened; nothing is done twice."""

from pathlib import Path

from mmvid.config import Options, deciding, option
from mmvid.records import demo, ingest
from mmvid.records.sources import absolute, find_sources, title_of
from mmvid.records.splits import PAPER_DEV_SHARE
from mmvid.records.store import MADE, Store
from mmvid.runs import Command, Finished, Run, Task, home


class DataConfig(Options):
    """The data set."""

    data: str = option(
        "demo", "TFRecords (folder, pattern, list, s3://bucket/folder), a store, or `demo`, made data", decides=False
    )
    schema_name: str = option("", "built-in schema or a YAML file; the demo has its own", alias="schema")
    text: str = option("auto", "JSON Lines of titles and keywords; auto: text.jsonl beside the records; none")
    vocabulary: str = option("auto", "CSV of the labels' names; auto: the schema's file beside the records")
    dev_share: float = option(PAPER_DEV_SHARE, "share of train that becomes dev where there is none", gt=0, lt=1)
    split_seed: int = option(0, "seed of that share", ge=0)
    on_error: ingest.OnError = option("stop", "a damaged record stops the ingest, or is skipped and counted")
    workers: int = option(1, "processes that ingest", ge=1, decides=False)
    stream: bool = option(False, "leave the features of train in the TFRecords, and read them from there in training")


def open_dataset(
    command: Command, config: DataConfig, *, frames: bool = False, force: bool = False, own: bool = False
) -> Store:
    """The store behind `config.data`.

    Args:
        command: whose runs record what is made and ingested on the way.
        config: the data set.
        frames: takes the demo's frame-level records instead of its video-level ones.
        force: ingests again.
        own: the ingest is what the command is for.
    """
    data, schema = config.data, config.schema_name
    if config.data == "demo":
        if schema not in ("", "demo"):
            raise ValueError(f"schema must be none or `demo` for the demo data, got {schema}")
        data, schema = str(make_demo(command, demo.DemoConfig(), keep=True) / ("frame" if frames else "video")), "demo"
    if (Path(data) / "manifest.json").exists():
        settled = [name for name, value in deciding(config).items() if value != deciding(DataConfig())[name]]
        if settled:
            raise ValueError(f"{settled[0]} was settled when {data} was ingested; leave it out, or give the records")
        return Store.open(Path(data))
    find_sources(data)  # a mistake in it is told before one in what belongs to it
    if not schema:
        raise ValueError(f"schema must be given for {data}: a built-in name such as youtube8m, or a YAML file")
    task, place = _ingest_task(config, data, schema)

    def compute(run: Run) -> None:
        run.params({"data": absolute(data), "schema": schema, "store": str(place)})
        store = ingest.ingest(
            data,
            schema,
            place,
            text=config.text,
            vocabulary=config.vocabulary,
            on_error=config.on_error,
            stream=config.stream,
            dev_share=config.dev_share,
            seed=config.split_seed,
            workers=config.workers,
        )
        log_store(run, store, place)

    def usable(finished: Finished) -> bool:
        return (place / "manifest.json").exists() and Store.open(place).digest == finished.tags.get("mmvid.data.digest")

    command.find_or_run(task, compute, force=force, own=own, usable=usable)
    return Store.open(place)


def find_dataset(config: DataConfig) -> Store | None:
    """The store behind `config.data` if it is there; nothing is made and nothing is ingested."""
    data, schema = config.data, config.schema_name
    if config.data == "demo":
        if not (home() / "demo" / "demo.json").exists():
            return None
        data, schema = str(home() / "demo" / "video"), "demo"
    place = Path(data)
    if not (place / "manifest.json").exists():
        _, place = _ingest_task(config, data, schema)
    return Store.open(place) if (place / "manifest.json").exists() else None


def _ingest_task(config: DataConfig, data: str, schema: str) -> tuple[Task, Path]:
    """The run that ingests records, and where their store goes."""
    inputs = {"records": ingest.fingerprint(data, schema=schema, text=config.text, vocabulary=config.vocabulary)}
    if config.stream:
        inputs["place"] = absolute(data)  # where the features will be looked for
    task = Task(
        entry="ingest",
        options={name: value for name, value in deciding(config).items() if name != "schema"},
        inputs=inputs,
        modules=("mmvid.records.ingest",),
        name=f"ingest {title_of(data)}",
    )
    return task, home() / "stores" / f"{title_of(data)}-{task.key[:12]}"


def make_demo(
    command: Command, config: demo.DemoConfig, *, keep: bool = False, force: bool = False, own: bool = False
) -> Path:
    """The folder of the demo data, made now if it is not there yet.

    Args:
        command: whose run records it.
        config: how large it is and from which seed.
        keep: takes demo data that is there whatever its config.
        force: makes it again.
        own: making it is what the command is for.
    """
    folder = home() / "demo"
    if keep and (folder / "demo.json").exists():
        return folder
    task = Task("demo_data", deciding(config), {}, ("mmvid.records.demo",), name=MADE)

    def compute(run: Run) -> None:
        summary = demo.make_demo(folder, config)
        run.params({"folder": str(folder)})
        run.json("summary.json", summary)

    command.find_or_run(task, compute, force=force, own=own, usable=lambda finished: demo.is_made(folder, config))
    return folder


def log_store(run: Run, store: Store, place: Path) -> None:
    """Logs what an ingest came to: counts, skipped records, the manifest, the digest."""
    counts = {f"videos/{split}": float(store.count(split)) for split in store.splits}
    run.report(counts | {"records/skipped": float(store.contents.skipped.count)})
    run.json("manifest.json", store.manifest)
    run.tags({"mmvid.data.digest": store.digest, "mmvid.data.store": str(place)})
