import csv
import importlib.util
import json
import re
from functools import partial
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("catboost")
pytest.importorskip("matplotlib")

from crystal_embed import ElementTable, load_table, save_table
from crystal_embed.__main__ import main
from crystal_embed.analysis import (
    AnalysisSettings,
    analyze,
    property_figures,
    run,
    structure_figures,
    write_analysis,
)
from crystal_embed.analysis.style import images
from crystal_embed.analysis.write import fingerprint, slug
from crystal_embed.commands import analyze as command
from crystal_embed.commands.analyze import _labelled

QUICK = AnalysisSettings(num_seeds=2, num_folds=3, num_iterations=4)


def small_table():
    vectors = np.random.default_rng(0).normal(size=(60, 5))
    return ElementTable(
        "mine", np.arange(1, 61), vectors, {"random_elements": ["He", "Nd"], "source": "<made>"}
    )


@pytest.fixture(scope="module")
def analysis():
    return analyze({"mine <1>": small_table()}, {"atom_init": load_table("atom_init")}, QUICK)


@pytest.fixture(scope="module")
def written(analysis, tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysis")
    return write_analysis(analysis, folder, ["Li"]).parent


def test_tables_are_asked_for_the_same_elements(analysis):
    for one in analysis.properties:
        assert set(one.symbols) <= set(small_table().trained().symbols)
        assert set(one.symbols) <= set(one.target.values)
        assert list(one.scores) == ["mine <1>", "atom_init"]
        assert list(one.shuffled) == ["mine <1>"]
        assert all(len(score.by_seed) == 2 for score in one.scores.values())
    radius = analysis.properties[0].scores["atom_init"]
    assert radius.mean == pytest.approx(sum(radius.by_seed) / 2)
    assert radius.std == pytest.approx(abs(np.subtract(*radius.by_seed)) / 2**0.5)
    study = analysis.studies["mine <1>"]
    assert "Nd" not in study.neighbors
    assert [len(one.order) for one in study.attributions] == [5] * 6


def test_files_hold_the_numbers(analysis, written):
    record = json.loads((written / "analysis.json").read_text())
    table = record["tables"]["mine <1>"]
    assert table["sha256"] == fingerprint(small_table().trained())
    assert (table["num_elements"], table["width"], table["analyzed"]) == (58, 5, True)
    assert record["versions"]["catboost"]
    assert record["settings"]["num_folds"] == 3
    with (written / "r2.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 3
    for row in rows:
        kind = "r2_shuffled" if row["shuffled"] == "yes" else "r2"
        score = record["properties"][row["property"]][kind][row["table"]]
        assert float(row["mean"]) == pytest.approx(score["mean"], rel=1e-5)
    with (written / "clusters.csv").open() as file:
        clusters = list(csv.DictReader(file))
    best = record["studies"]["mine <1>"]["best_num_clusters"]
    first = record["studies"]["mine <1>"]["clusters"][str(best)][0]
    assert first == [
        row["element"]
        for row in clusters
        if row["num_clusters"] == str(best) and row["cluster"] == "1"
    ]
    with (written / "neighbors.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 58 * 5
    with (written / "dimensions.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 6 * 5


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.images = [], []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes))
        elif tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone(written):
    text = (written / "analysis.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    figures = {path.name for path in (written / "figures").iterdir()}
    assert len(figures) == 2 * len(page.images)
    assert all(one["src"].startswith("data:image/svg+xml;base64,") for one in page.images)
    assert all(one["alt"] for one in page.images)
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert "mine &lt;1&gt;" in text
    assert "<made>" not in text
    assert "log₁₀" in text


def test_figures_are_figures(written):
    for path in (written / "figures").iterdir():
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml"), path.name
        assert len(content) > 5000
    assert {path.stem for path in (written / "figures").iterdir()} >= {
        "r2", "mine-1-components", "mine-1-heatmap", "mine-1-scan", "mine-1-clusters-3",
        "mine-1-shap-melting_point",
    }  # fmt: skip


def test_the_same_tables_give_the_same_files(written, tmp_path):
    again = analyze({"mine <1>": small_table()}, {"atom_init": load_table("atom_init")}, QUICK)
    write_analysis(again, tmp_path, ["Li"])
    for path in written.rglob("*.*"):
        assert (tmp_path / path.relative_to(written)).read_bytes() == path.read_bytes(), path.name


def test_another_seed_gives_other_folds(analysis):
    other = analyze(
        {"mine <1>": small_table()},
        settings=AnalysisSettings(seed=2, num_seeds=1, num_folds=3, num_iterations=4),
    )
    one = other.properties[0].scores["mine <1>"].by_seed[0]
    assert one not in analysis.properties[0].scores["mine <1>"].by_seed


def test_a_scale_can_be_drawn():
    scale = ElementTable("scale", np.arange(1, 61), np.arange(60.0).reshape(-1, 1))
    found = analyze({"scale": scale}, settings=QUICK)
    study = found.studies["scale"]
    for draw in (structure_figures.components, structure_figures.heatmap):
        assert all(images(partial(draw, study)).values())
    assert images(partial(property_figures.beeswarm, study.attributions[0]))["svg"]


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "AnalysisSettings", lambda **given: AnalysisSettings(
        num_seeds=1, num_folds=2, num_iterations=2, **given
    ))  # fmt: skip
    monkeypatch.setenv("COLUMNS", "200")
    path = save_table(small_table(), tmp_path / "mine.safetensors")
    out = tmp_path / "out"
    arguments = ["analyze", str(path), "--output", str(out), "--neighbors-of", "Li", "--seed", "3"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert printed.strip().endswith(str(out / "analysis.html"))
    for expected in ("melting temperature", "0.856", "permuted:0:mine.safetensors", "by cosine"):
        assert expected in printed
    record = json.loads((out / "analysis.json").read_text())
    assert list(record["tables"]) == [
        "mine.safetensors", "atom_init", "random:128", "permuted:0:mine.safetensors"
    ]  # fmt: skip
    assert record["settings"]["seed"] == 3


def test_labels_leave_folders_out_where_they_can(tmp_path):
    one, other = tmp_path / "a" / "t.csv", tmp_path / "b" / "t.csv"
    for path in (one, other):
        save_table(load_table("random:3"), path)
    assert list(_labelled([str(one), "one_hot"])) == ["t.csv", "one_hot"]
    assert list(_labelled([str(one), str(other)])) == [str(one), str(other)]
    assert command._short("runs/ct/artifact") == "ct"
    assert command._short("runs/ct/") == "ct"
    assert command._short("permuted:0:runs/ct/artifact") == "permuted:0:ct"
    assert command._short("joined:a/b.csv,c/d.csv") == "joined:b.csv,d.csv"
    assert slug("permuted:0:runs/ct") == "permuted-0-runs-ct"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no element table 'nothing'"),
        (["atom_init", "--neighbors-of", "li"], "did you mean Li?"),
        (["few.csv", "--compare"], "only 3 elements with a known atomic radius"),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_table(ElementTable("few", [3, 4, 5], np.eye(3)), "few.csv")
    assert main(["analyze", *arguments, "--output", "out"]) == 1
    assert message in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(command, "find_spec", lambda n: None if n == "catboost" else found(n))
    assert main(["analyze", "atom_init", "--output", "out"]) == 1
    error = capsys.readouterr().err
    assert "needs catboost; pip install 'crystal-embed[analysis]'" in error


def test_too_few_seeds_or_folds_are_refused():
    with pytest.raises(ValueError, match="0 seeds and 5 folds"):
        AnalysisSettings(num_seeds=0)
    with pytest.raises(ValueError, match="5 seeds and 1 folds"):
        AnalysisSettings(num_folds=1)
