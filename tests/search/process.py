"""A process that works on a study; its trials take a while and leave a line each.

python process.py STORAGE FOLDER TRIALS SECONDS
"""

import sys
import time
from pathlib import Path

from mmvid.config import Options, option
from mmvid.search import sampling
from mmvid.search.space import Space
from mmvid.search.storage import locate
from mmvid.search.study import open_study
from mmvid.search.trial import Limits

EPOCHS = 4


class Config(Options):
    """Two numbers."""

    x: float = option(0.0, "x", ge=-1, le=1, search=(-1, 1))
    y: int = option(1, "y", ge=1, search=(1, 8))


SPACE = Space.of((Config,))


def study(storage: str, folder: Path, key: str = "k", name: str = "s", beat: int = 1):
    """The study that every process opens."""
    return open_study(
        locate(storage, folder / "journal.log"),
        name,
        key,
        SPACE,
        {"dev/score": "maximize"},
        sampler=sampling.make_sampler("tpe", SPACE, seed=0, startup=4, points=3, objectives=1),
        pruner=sampling.make_pruner("none", epochs=EPOCHS, startup=4, warmup=1, objectives=1),
        heartbeat=beat,
        locks=folder / "locks",
    )


if __name__ == "__main__":
    storage, folder, trials, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])

    def objective(trial):
        print("begins", trial.number, trial.lineage, flush=True)
        (config,) = SPACE.build(trial.values)
        for epoch in range(EPOCHS):
            time.sleep(seconds / EPOCHS)
            trial.epoch({"dev/score": epoch - config.x**2}, epoch)
        return {"dev/score": EPOCHS - config.x**2}

    with study(storage, folder) as joined:
        ends_it = joined.run(objective, Limits(trials))
        print("ends it" if ends_it else "leaves", flush=True)
