"""Tables of recipes: cells, every form of the output, and mistakes in the YAML."""

import csv
import io
import math
import re
from typing import get_args

import pytest

from mmvid import blends
from mmvid.config import parse
from mmvid.metrics.bootstrap import Interval
from mmvid.registry.gate import read_models
from mmvid.report import ablation
from mmvid.report.bars import picture
from mmvid.report.filled import Champion, Filled, Made, Result, cells, header, means, readable
from mmvid.report.recipes import TABLES, Recipe, Sizes, Table, names, read_table
from steps.train import asked

MOE = Recipe(name="MoE & friends_100%", entry="train_moe", model="mmvid-moe", paper={"gap": 79.44})
LSTM = Recipe(name="LSTM", entry="train_lstm", paper={"gap": 80.22}, note="a note")
CONTEXT = Recipe(name="WILLOW", paper={"gap": 84.97})


def table(*rows: Recipe, **more) -> Table:
    columns = [{"metric": "gap", "name": "GAP"}, {"metric": "loss", "name": "loss", "percent": False}]
    return Table(name="t", title="A table", paper="its paper", columns=columns, rows=rows, **more)


def filled() -> Filled:
    runs = (
        Made(0, "aaa", "#/0", {"gap": 0.40}),
        Made(1, "bbb", "#/1", {"gap": 0.42, "loss": 2}),
    )
    best = Champion("mmvid-moe", "3", "bbb", {"gap": Interval(0.42, 0.40, 0.45)})
    first = Result(MOE, runs, videos=1234, champion=best, promotion="mmvid-moe: champion is version 3")
    return Filled(
        table(MOE, LSTM, CONTEXT), "made <data>", (first, Result(LSTM, lack="seed 0 is missing"), Result(CONTEXT))
    )


def test_a_cell_has_mean_and_spread_the_champion_and_the_paper():
    first, second, third = (cells(filled().table, result) for result in filled().results)
    assert first == [
        "MoE & friends_100%",
        "41.00 ± 1.41",
        "42.00 [40.00, 45.00]",
        "79.44",
        "2.0000",
        "",
        "",
        "1,234",
        "2",
    ]
    assert second == ["LSTM", "missing", "", "80.22", "missing", "", "", "", ""]
    assert third == ["WILLOW", "", "", "84.97", "", "", "", "", ""]
    assert len(first) == len(header(filled().table))


def test_the_paper_s_numbers_keep_their_digits():
    row = Recipe(name="row", paper={"gap": 79.3, "loss": 0.225})
    assert [cells(table(row), Result(row))[place] for place in (3, 6)] == ["79.3", "0.225"]


def test_markdown_says_what_lacks_and_links_the_runs():
    text = ablation.as_markdown(filled())
    assert text.startswith("# A table: made <data>\n")
    for said in ("LSTM: seed 0 is missing", "LSTM: a note", "[seed 1](#/1)", "not comparable", "champion is version 3"):
        assert said in text


def test_columns_that_no_row_fills_are_left_out():
    heads, rows = readable(filled())
    assert heads == ["row", "GAP %", "GAP % of the champion", "GAP %, the paper", "loss", "videos", "runs"]
    assert rows[2] == ["WILLOW", "", "", "84.97", "", "", ""]
    assert r"\begin{tabular}{lrrr}" in ablation.as_latex(filled())


def test_rows_that_the_data_cannot_fill_are_told_of():
    unfit = Result(LSTM, lack="not in this data: it has no frames", unfit=True)
    text = ablation.as_markdown(Filled(table(MOE), "made", (filled().results[0],), (unfit,)))
    assert "- LSTM is left out: not in this data: it has no frames" in text and "| LSTM" not in text


def test_what_the_gate_said_stands_by_itself():
    assert ablation.as_markdown(filled()).endswith(
        "Promotions:\n\n- MoE & friends_100%: mmvid-moe: champion is version 3\n"
    )
    page = ablation.report("T", [filled()])
    assert "<details><summary>what the gate said</summary>" in page


def test_a_table_of_context_alone_names_no_data():
    context = Filled(table(CONTEXT), "made", (Result(CONTEXT),))
    assert ablation.as_markdown(context).startswith("# A table\n")
    assert "Ours" not in ablation.as_markdown(context)


def test_csv_has_plain_numbers():
    rows = list(csv.DictReader(io.StringIO(ablation.as_csv(filled()))))
    assert [row["row"] for row in rows] == ["MoE & friends_100%"] * 2 + ["LSTM"] * 2 + ["WILLOW"] * 2
    gap = rows[0]
    assert math.isclose(float(gap["mean"]), 0.41) and math.isclose(float(gap["spread"]), 0.0141421, rel_tol=1e-4)
    assert (gap["champion"], gap["low"], gap["paper"], gap["runs"]) == ("0.42", "0.4", "0.7944", "aaa bbb")
    assert rows[2]["lack"] == "seed 0 is missing"


def test_latex_is_escaped():
    text = ablation.as_latex(filled())
    assert r"MoE \& friends\_100\% & 41.00 $\pm$ 1.41 & 79.44" in text
    assert text.count(r"\\") == 5 and r"\toprule" in text


def test_the_page_needs_no_network_and_escapes():
    page = ablation.report("T", [filled()])
    assert "made &lt;data&gt;" in page and "<data>" not in page.split("<script")[0]
    assert 'href="#/1"' in page and 'src="http' not in page
    assert picture(filled()).axes[0].get_title() == "A table"


def test_means_are_logged_by_row():
    assert means(filled()) == pytest.approx({"t/moe___friends_100_/gap": 0.41, "t/moe___friends_100_/loss": 2})


@pytest.mark.parametrize("name", names())
def test_every_table_of_the_project_reads(name):
    read = read_table(name)
    assert read.name == name
    models = read_models(TABLES.parent / "models.yaml")
    assert all(row.model in models for row in read.rows if row.entry and not row.instead)


@pytest.mark.parametrize("sizes", get_args(Sizes))
@pytest.mark.parametrize("name", ["table2", "table4", "table5", "table6"])
def test_every_recipe_s_options_are_those_of_its_entry(name, sizes):
    rows = [row for row in read_table(name).rows if row.entry]
    assert rows
    for row in rows:
        kind, _, what = row.entry.partition("_")
        if kind == "train":
            assert asked([what, *row.words(sizes)])[0] == what
        else:
            assert parse([what, *row.words(sizes)], blends, about="")[0] == what


def test_no_registered_model_has_two_sets_of_rules():
    stated = re.findall(r"(?m)^([\w-]+):", (TABLES.parent / "models.yaml").read_text())
    assert len(stated) == len(set(stated)) > 20


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("title: T", "t.yaml: columns must be given"),
        ("- 1", "must state a table's title, columns and rows, got list"),
        ("a: [", "must be YAML"),
        ("title: T\ncolumns: [{metric: gap, name: G}]\nrows: [{name: a, seed: 1}]", "rows.0.seed must not be given"),
        ("title: T\ncolumns: [{metric: gap, name: G}]\nrows: [{name: a}, {name: a}]", "two rows are named 'a'"),
        (
            "title: T\ncolumns: [{metric: gap, name: G}]\nrows: [{name: a, entry: e_b, members: [b]}]",
            "row 'a' has the member 'b', which is no row above it",
        ),
        (
            "title: T\ncolumns: [{metric: gap, name: G}]\nrows: [{name: a, paper: {map: 1}}]",
            "row 'a' has the paper's 'map', which is no column's metric",
        ),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path, text, sentence):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(ValueError, match="t.yaml") as told:
        read_table("t", tmp_path)
    assert sentence in str(told.value) and "\n" not in str(told.value)


def test_an_unknown_table_is_named(tmp_path):
    with pytest.raises(ValueError, match="table must be one of .*, got 'table9'"):
        read_table("table9")


def test_rows_that_audioset_can_fill_have_its_sizes():
    rows = [row for name in ("table4", "table5", "table6") for row in read_table(name).rows if row.sizes]
    assert rows and all({"compact", "audioset"} <= set(row.sizes) for row in rows)


def test_words_of_a_recipe_depend_on_the_sizes():
    recipe = Recipe(
        name="r",
        entry="train_moe",
        parameters={"modalities": ["a", "b"]},
        sizes={"compact": {"x": None}, "paper": {"y": 2}},
    )
    assert recipe.words("compact") == ["--modalities", "a,b", "--x", ""]
    assert recipe.words("paper") == ["--modalities", "a,b", "--y", "2"]
