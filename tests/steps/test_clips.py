"""The commands of clips: made and ingested once, found afterwards, and one sentence where something is wrong."""

import mlflow
import numpy as np
import pytest

from mmvid.clips.store import ClipStore
from mmvid.clipset import ClipsConfig, open_clips
from mmvid.console import run_command
from mmvid.runs import Command
from steps import demo_clips, ingest_clips


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working folder with a home and a tracking store, which takes seconds to make: one for all tests here."""
    folder = tmp_path_factory.mktemp("clips")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MMVID_HOME", str(folder / "data"))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.delenv("MLFLOW_RUN_ID", raising=False)
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        yield folder
        mlflow.set_tracking_uri(None)


def runs(entry: str) -> list:
    return mlflow.MlflowClient().search_runs(["0"], f"tags.`mmvid.entry` = '{entry}'")


def told(capsys, name: str) -> str:
    """What stands behind `name:` in the printed lines."""
    lines = capsys.readouterr().out.splitlines()
    return next(line.partition(": ")[2] for line in lines if line.startswith(name))


SMALL = ["--clips", "12", "--clip_length", "4", "--side", "16"]


def test_the_demo_is_made_once(place, capsys):
    demo_clips.main(SMALL)
    folder = told(capsys, "demo clips (made)")
    store = ClipStore.open(folder)
    assert store.profile()["clips"] == {"train": 10, "dev": 1, "validate": 1}
    demo_clips.main(SMALL)
    assert told(capsys, "demo clips (made)") == folder and len(runs("demo_clips")) == 1
    (run,) = runs("demo_clips")
    assert run.data.metrics["clips/train"] == 10 and run.data.tags["mmvid.data.digest"] == store.digest
    records = place / "data" / "stores" / f"{store.folder.name}.made" / "softmotion30_44k"
    with Command() as command:
        again = open_clips(command, ClipsConfig(data=str(records)))
    assert again.digest == store.digest, "the records are what any published data are"


def test_published_clips_are_ingested_once(place, capsys):
    np.savez(place / "clips.npz", **{f"clip{number}": np.full((3, 8, 8, 3), number, np.uint8) for number in range(9)})
    before = len(runs("ingest_clips"))
    ingest_clips.main(["--data", "clips.npz"])
    store = told(capsys, "store")
    ingest_clips.main(["--data", "clips.npz"])
    assert told(capsys, "store") == store and len(runs("ingest_clips")) == before + 1
    ingest_clips.main(["--data", store])
    assert told(capsys, "digest") == ClipStore.open(store).digest
    with pytest.raises(ValueError, match="^camera was settled when .* was ingested; leave it out, or give the clips$"):
        ingest_clips.main(["--data", store, "--camera", "main"])


def test_clips_left_out_are_shown(place, capsys):
    arrays = {f"clip{number}": np.zeros((3, 8, 8 + 8 * (number == 4), 3), np.uint8) for number in range(6)}
    np.savez(place / "uneven.npz", **arrays)
    ingest_clips.main(["--data", "uneven.npz", "--on_error", "skip"])
    assert told(capsys, "skipped").startswith("1 (layout 1), listed in ")
    assert runs("ingest_clips")[0].data.metrics["clips/skipped"] == 1


def test_a_mistake_is_one_sentence(place, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ingest_clips", "--data", "nowhere"])
    with pytest.raises(SystemExit) as ended:
        run_command(ingest_clips.main)
    assert ended.value.code == 1
    expected = "error: clips must be `demo`, a store, or a folder or file of clips; nothing is at nowhere\n"
    assert capsys.readouterr().err.endswith(expected)
