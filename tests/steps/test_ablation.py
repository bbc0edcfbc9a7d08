"""Tables from the runs that the whole job left: what is found, what is missing, what is logged; a row that fails."""

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
import yaml
from PIL import Image

from mmvid.maskset import MasksConfig
from mmvid.metrics.bootstrap import Interval
from mmvid.records.store import MADE
from mmvid.registry.versions import aliased
from mmvid.report import recipes
from mmvid.report.populations import intervals_of
from mmvid.runs import Command, load_run
from steps import ablation, main
from steps.rows.pictures import PictureRows
from steps.rows.videos import VideoRows
from steps.train_unet import LabelConfig


def artifacts(run) -> dict[str, Path]:
    """The files of a run by their paths below its artifacts."""
    folder = Path(mlflow.artifacts.download_artifacts(run_id=run.info.run_id))
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def test_the_whole_job_logs_its_tables_in_every_form(job):
    (run,) = [run for run in job.runs("main") if "table2/audio/gap" in run.data.metrics][-1:]
    files = artifacts(run)
    for table in ("table2", "table3", "table6"):
        assert {f"{table}.{kind}" for kind in ("md", "csv", "tex", "png")} <= files.keys()
    page = files["report.html"].read_text()
    assert "Table 2: visual, audio, both: demo data (made)" in page and "Table 3" in page
    assert 'src="http' not in page and 'href="http' not in page.split("<table")[0]  # it opens without a network
    values = {each["row"]: each for each in csv.DictReader(io.StringIO(files["table2.csv"].read_text()))}
    both = job.version_of("mmvid-moe", aliased("mmvid-moe", "champion")).data.metrics["validate/gap"]
    assert run.data.metrics["table2/visual___audio/gap"] == pytest.approx(both)
    assert set(values) == {"Visual", "Audio", "Visual + audio"}


def test_what_has_runs_is_found_and_what_has_none_is_shown_as_missing(here, capsys):
    before = len(here.runs("train_moe"))
    ablation.main(["--table", "table2,table4", "--seeds", "0,7", "--draws", "100"])
    told = capsys.readouterr().out
    assert len(here.runs("train_moe")) == before
    assert "Visual: seed 7 is missing: missing=train trains it" in told
    assert "Average: seed 0: its member MoE A has no run" in told
    (run, *_) = here.runs("ablation")
    (audio,) = [each for each in job_rows(run, "table2") if each["row"] == "Audio"]
    champion = here.version_of("mmvid-moe-audio", aliased("mmvid-moe-audio", "champion"))
    assert run.data.metrics["table2/audio/gap"] == pytest.approx(champion.data.metrics["validate/gap"])
    assert any(champion.info.run_id in value for value in audio.values())


def job_rows(run, table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(artifacts(run)[f"{table}.csv"].read_text())))


def test_a_seed_that_is_missing_is_trained_and_the_row_has_a_spread(here, monkeypatch):
    stated = yaml.safe_load((recipes.TABLES / "table2.yaml").read_text())
    stated["rows"] = [row for row in stated["rows"] if row["name"] == "Audio"]
    own = recipes.Table(**{"name": "table2", **stated})
    monkeypatch.setattr(ablation.recipes, "read_table", lambda name: own)
    ablation.main(["--table", "table2", "--missing", "train", "--seeds", "0,1", "--draws", "100"])
    (run, *_) = here.runs("ablation")
    assert "±" in artifacts(run)["table2.md"].read_text()
    trained = [each for each in here.runs("train_moe") if each.data.params["seed"] == "1"]
    assert [each.data.tags["mlflow.parentRunId"] for each in trained] == [run.info.run_id]


def test_the_interval_of_a_champion_holds_its_value(here):
    version = aliased("mmvid-moe-audio", "champion")
    run = here.version_of("mmvid-moe-audio", version)
    found = intervals_of(load_run(run.info.run_id), "all", ["gap"], draws=200)["gap"]
    assert isinstance(found, Interval) and found.low < found.value < found.high
    assert found.value == pytest.approx(run.data.metrics["validate/gap"], abs=1e-6)


def test_a_row_that_fails_leaves_the_others_and_ends_with_its_name(here, monkeypatch, capsys):
    stated = yaml.safe_load((recipes.TABLES / "table2.yaml").read_text())
    stated["rows"][0]["parameters"] = {"modalities": "smell"}
    own = recipes.Table(**{"name": "table2", **stated})
    monkeypatch.setattr(ablation.recipes, "read_table", lambda name: own)
    sentence = "^1 rows could not be made: table2, Visual: seed 0: modalities must be among visual, audio, got 'smell'$"
    with pytest.raises(ValueError, match=sentence):
        ablation.main(["--table", "table2", "--missing", "train", "--seeds", "0", "--draws", "100"])
    assert "| Audio" in capsys.readouterr().out


def test_an_unknown_table_is_one_sentence():
    with pytest.raises(
        ValueError, match="^table must be one of table1, segmentation, table2, .* or all, got 'table9'$"
    ):
        main.main(["--tables", "table9"])


def test_no_table_is_one_sentence():
    with pytest.raises(ValueError, match="^table must be one of table1, .* or all, got ' , '$"):
        ablation.chosen(" , ")
    assert ablation.chosen("table3,table2,table3") == ["table3", "table2"]


def test_real_data_are_headed_with_their_name_and_size(workplace):
    write_pictures(workplace / "export")
    masks = MasksConfig(masks=str(workplace / "export"), validate_share=0.4)
    with Command() as command:
        assert PictureRows(command, masks, LabelConfig(), 100).title == "export (png), 5 labelled pictures"
    store = SimpleNamespace(title="audioset", splits=["train", "dev"], count={"train": 1200, "dev": 34}.get)
    assert VideoRows(None, None, None, store, 100).title == "audioset, 1,234 videos"
    assert VideoRows(None, None, None, SimpleNamespace(title=MADE), 100).title == MADE


def write_pictures(folder: Path) -> None:
    for number in range(5):
        for kind, value in (("images", number), ("masks", 1)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), value).save(folder / kind / f"{number}.png")
