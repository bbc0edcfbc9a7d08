"""`--data` of clips to an opened store: the demo is made, published formats are ingested; nothing is done twice."""

from pathlib import Path

from mmvid.clips import demo, ingest
from mmvid.clips.manifest import OnError
from mmvid.clips.sources import ReadOptions
from mmvid.clips.store import ClipStore
from mmvid.config import deciding, option
from mmvid.runs import Command, Finished, Run, Task, home
from mmvid.storage import absolute, name_of


class ClipsConfig(ReadOptions):
    """The clips."""

    data: str = option(
        "demo", "clips (file, folder, s3://bucket/folder), a store, or `demo`, made clips", decides=False
    )
    kind: str = option("auto", "the reader; auto: the one whose files are there")
    on_error: OnError = option("stop", "a clip that cannot be read stops the ingest, or is skipped and counted")
    dev_share: float = option(
        ingest.DEV_SHARE, "share of train's trajectories that become dev where there is none", ge=0, lt=1
    )
    validate_share: float = option(ingest.VALIDATE_SHARE, "the same of validate", ge=0, lt=1)
    split_seed: int = option(0, "seed of these shares", ge=0)


def open_clips(command: Command, config: ClipsConfig, *, force: bool = False, own: bool = False) -> ClipStore:
    """The store behind `config.data`.

    Args:
        command: whose runs record what is made and ingested on the way.
        config: the clips.
        force: ingests again.
        own: the ingest is what the command is for.
    """
    data = config.data
    if data == "demo":
        return make_demo(command, demo.DemoConfig())
    if (Path(data) / "manifest.json").exists():
        settled = [name for name, value in deciding(config).items() if value != deciding(ClipsConfig())[name]]
        if settled:
            raise ValueError(f"{settled[0]} was settled when {data} was ingested; leave it out, or give the clips")
        return ClipStore.open(data)
    task = Task(
        entry="ingest_clips",
        options=deciding(config),
        inputs={"clips": ingest.fingerprint(data, config.kind)},
        modules=("mmvid.clips.ingest",),
        name=f"ingest {name_of(absolute(data))}",
    )
    place = home() / "stores" / f"{name_of(absolute(data))}-{task.key[:12]}"

    def compute(run: Run) -> None:
        run.params({"data": absolute(data), "store": str(place)})
        store = ingest.ingest(
            data,
            place,
            kind=config.kind,
            options=ReadOptions(**{name: getattr(config, name) for name in ReadOptions.model_fields}),
            on_error=config.on_error,
            dev_share=config.dev_share,
            validate_share=config.validate_share,
            seed=config.split_seed,
        )
        log_store(run, store)

    command.find_or_run(task, compute, force=force, own=own, usable=lambda finished: is_there(place, finished))
    return ClipStore.open(place)


def make_demo(command: Command, config: demo.DemoConfig, *, force: bool = False, own: bool = False) -> ClipStore:
    """The store of demo clips, made now if it is not there yet."""
    task = Task("demo_clips", deciding(config), {}, ("mmvid.clips.demo",), name="demo clips (made)")
    place = home() / "stores" / f"demo_clips-{task.key[:12]}"

    def compute(run: Run) -> None:
        log_store(run, demo.make_clips(place, config))

    command.find_or_run(task, compute, force=force, own=own, usable=lambda finished: is_there(place, finished))
    return ClipStore.open(place)


def is_there(place: Path, finished: Finished) -> bool:
    """Whether the store that a run made is still on this disk."""
    return (place / "manifest.json").exists() and ClipStore.open(place).digest == finished.tags.get("mmvid.data.digest")


def log_store(run: Run, store: ClipStore) -> None:
    """Logs what a store came to: counts, clips left out, the manifest, the digest."""
    counts = {f"clips/{split}": float(store.count(split)) for split in store.splits}
    run.report(counts | {"clips/skipped": float(store.contents.skipped.count)})
    run.json("manifest.json", store.manifest)
    run.tags({"mmvid.data.digest": store.digest, "mmvid.data.store": str(store.folder)})
