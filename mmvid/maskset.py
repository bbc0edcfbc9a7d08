"""`--masks` to an opened store: the demo is made, exports of labelling tools are ingested; nothing is done twice."""

from pathlib import Path
from typing import Literal

from mmvid.clips import demo
from mmvid.clips.manifest import OnError
from mmvid.clips.masks import formats
from mmvid.clips.masks.ingest import DEV_SHARE, VALIDATE_SHARE, fingerprint, ingest_masks
from mmvid.clips.masks.options import MaskOptions
from mmvid.clips.store import ClipStore
from mmvid.clipset import is_there, log_store, make_demo
from mmvid.config import deciding, option
from mmvid.labelled import open_labelled
from mmvid.runs import Command, Run, Task, home
from mmvid.storage import absolute, name_of


class MasksConfig(MaskOptions):
    """The labelled pictures."""

    masks: str = option(
        "demo", "an export (folder or JSON file), a store with masks, or `demo`, made clips", decides=False
    )
    mask_format: Literal["auto", *formats.FORMATS] = option(
        "auto", "of the export; auto: the one that its files are of"
    )
    on_error: OnError = option("stop", "a picture that cannot be used stops the ingest, or is skipped and counted")
    dev_share: float = option(DEV_SHARE, "share of the trajectories that become dev where there is none", ge=0, lt=1)
    validate_share: float = option(VALIDATE_SHARE, "the same of validate", ge=0, lt=1)
    split_seed: int = option(0, "seed of these shares", ge=0)


def open_masks(command: Command, config: MasksConfig, *, force: bool = False, own: bool = False) -> ClipStore:
    """The store behind `config.masks`, with the asked categories at least.

    Args:
        command: whose runs record what is made and ingested on the way.
        config: the labelled pictures.
        force: ingests again.
        own: the ingest is what the command is for.

    Raises:
        ValueError: if options are given that were settled when a store was made, or it has no such masks.
    """
    masks = config.masks
    if masks == "demo" or (Path(masks) / "manifest.json").exists():
        plain = deciding(MasksConfig())
        settled = [name for name, value in deciding(config).items() if value != plain[name] and name != "categories"]
        if settled:
            raise ValueError(f"{settled[0]} was settled when {masks} was made; leave it out, or give an export")
        store = make_demo(command, demo.DemoConfig()) if masks == "demo" else ClipStore.open(masks)
        missing = [name for name in config.categories if name not in store.categories]
        if missing or not store.categories:
            there = ", ".join(store.categories) or "none"
            raise ValueError(f"{masks} must have masks of {', '.join(missing) or 'something'}, it has {there}")
        return store
    task = Task(
        entry="ingest_masks",
        options=deciding(config),
        inputs={"masks": fingerprint(masks, config)},
        modules=("mmvid.clips.masks.ingest",),
        name=f"ingest masks {name_of(absolute(masks))}",
    )
    place = home() / "stores" / f"{name_of(absolute(masks))}-{task.key[:12]}"

    def compute(run: Run) -> None:
        run.params({"masks": absolute(masks), "store": str(place)})
        store = ingest_masks(
            masks,
            place,
            mask_format=config.mask_format,
            options=MaskOptions(**{name: getattr(config, name) for name in MaskOptions.model_fields}),
            on_error=config.on_error,
            dev_share=config.dev_share,
            validate_share=config.validate_share,
            seed=config.split_seed,
        )
        log_store(run, store)
        run.json("masks.json", {"notes": store.contents.notes, "census": open_labelled(store, limit=None).census()})

    command.find_or_run(task, compute, force=force, own=own, usable=lambda finished: is_there(place, finished))
    return ClipStore.open(place)
