"""`ingest_masks`: an export is ingested once and found afterwards, what is worth telling is told and logged."""

import json

import mlflow
import numpy as np
import pytest
from PIL import Image

from mmvid.clips.store import ClipStore
from mmvid.console import run_command
from mmvid.runs import Command
from steps import ingest_masks


@pytest.fixture
def export(workplace):
    """Ten pictures in five folders, with mask pictures of an arm (1) and of two blocks (2, 3)."""
    generator = np.random.default_rng(0)
    for number in range(10):
        values = np.zeros((12, 16), np.uint8)
        values[2:6, 3:9], values[8, 2], values[8, 4] = 1, 2, 3
        for kind, pixels in (("images", generator.integers(0, 256, (12, 16, 3), np.uint8)), ("masks", values)):
            path = workplace / "export" / kind / f"scene{number // 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    return workplace / "export"


def test_an_export_is_ingested_once(export, capsys):
    words = ["--masks", str(export), "--mask_values", "robot=1,block=2+3", "--categories", "robot"]
    ingest_masks.main(words)
    printed = capsys.readouterr().out.splitlines()
    store = ClipStore.open(printed[0].removeprefix("store: "))
    assert printed[1] == "clips: train 6, dev 2, validate 2"
    assert "note: masks of block, not asked for: 10" in printed
    assert "masks of dev: robot 2 frames, 0 empty, 12.5 % of the pixels" in printed
    assert store.masks("train", 0)[0, 0].sum() == 24 and store.categories == ("robot",)
    ingest_masks.main(words)
    assert capsys.readouterr().out.splitlines()[0] == printed[0]
    (run,) = mlflow.MlflowClient().search_runs(["0"], "tags.`mmvid.entry` = 'ingest_masks'")
    assert run.data.metrics["clips/train"] == 6 and run.data.tags["mmvid.data.digest"] == store.digest
    logged = json.loads(mlflow.artifacts.load_text(f"{run.info.artifact_uri}/masks.json"))
    assert logged["census"]["train"]["robot"] == {"frames": 6, "empty": 0, "share": 0.125}
    assert logged["notes"] == {"masks of block, not asked for": 10}


def test_a_store_is_taken_as_it_is(export):
    with Command() as command:
        made = ingest_masks.open_masks(command, ingest_masks.MasksConfig(masks=str(export), categories=("robot",)))
        folder = str(made.folder)
        again = ingest_masks.open_masks(command, ingest_masks.MasksConfig(masks=folder, categories=("robot",)))
        assert again.digest == made.digest
        for options, sentence in (
            ({"categories": ("block",)}, "must have masks of block, it has robot$"),
            ({"split_seed": 3}, "^split_seed was settled when .* was made; leave it out, or give an export$"),
        ):
            with pytest.raises(ValueError, match=sentence):
                ingest_masks.open_masks(command, ingest_masks.MasksConfig(masks=folder, **options))


def test_what_is_wrong_is_one_sentence(export, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ingest_masks", "--masks", str(export), "--categories", "robot,arm"])
    with pytest.raises(SystemExit) as ended:
        run_command(ingest_masks.main)
    told = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1 and told[-1].startswith("error: ")
    assert "say what the values of masks are with mask_values" in told[-1]
