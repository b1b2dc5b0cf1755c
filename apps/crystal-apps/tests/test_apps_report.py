"""The report, from run folders written by hand to the page."""

import base64
import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from crystal_apps.report.errors import (
    download_of,
    element_cells,
    error_histogram,
    size_chart,
    worst_of,
)
from crystal_apps.report.figures import Axis, Series, line_chart, parity
from crystal_apps.report.page import main, write_report
from crystal_apps.report.runs import read_run
from crystal_data import SYMBOLS, Crystal, to_cif
from crystal_data.run_folder import RunError, RunFolder, StructureOfTest
from crystal_data.testing import perovskite, rock_salt

TARGET = "formation_energy_per_atom"


def write_run(folder: Path, error: float, *, num_rows: int = 50, elements: bool = False) -> Path:
    """A run's folder as training leaves it behind."""
    rng = np.random.default_rng(len(folder.name))
    for name in ("predictions", "artifact"):
        (folder / name).mkdir(parents=True)
    target = rng.normal(size=num_rows)
    prediction = target + error * rng.choice([-1, 1], size=num_rows)
    rows = [("id", "target", "prediction")]
    rows += [(f"row-{i}", t, p) for i, (t, p) in enumerate(zip(target, prediction, strict=True))]
    write_csv(folder / "predictions" / "test.csv", rows)
    curves = [
        ("epoch", "step", "train/loss", f"train/mae/{TARGET}", f"val/mae/{TARGET}", "val/mae")
    ]
    curves += [(e, e * 9, 1 / (e + 1), 0.9 / (e + 1), 1 / (e + 1), 1 / (e + 1)) for e in range(6)]
    write_csv(folder / "metrics.csv", curves)
    scale = {"mean": 0.0, "std": 1.0, "field": {"name": TARGET, "unit": "eV/atom"}}
    config = {"class_name": "CGCNN", "targets": {TARGET: scale}}
    (folder / "artifact" / "config.json").write_text(json.dumps(config))
    metadata = {
        "versions": {"torch": "2.9.0"},
        "data": {"source": "builtin", "fingerprint": "c0ffee" * 8},
    }
    (folder / "artifact" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "config.yaml").write_text("model:\n  class_path: <script>alert(1)</script>\n")
    rejected = [("id", "file", "stage", "reason", "detail")]
    rejected += [("a", "f.csv", "read", "disordered", ""), ("b", "f.csv", "read", "no_cell", "")]
    write_csv(folder / "rejected.csv", rejected)
    write_csv(
        folder / "notes.csv", [("id", "file", "note"), ("c", "f.csv", "<b>stale</b> formula")]
    )
    if elements:
        table = [["element", *range(4)]]
        table += [[symbol, *rng.normal(size=4)] for symbol in SYMBOLS[3:60]]
        write_csv(folder / "elements.csv", table)
    return folder


def write_csv(path: Path, rows: list) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


class Page(HTMLParser):
    """Collects what a page would fetch, its tags, and complains about tags left open."""

    VOID = frozenset({"meta", "br", "path", "rect", "circle"})

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "srcset", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_page_holds_everything_and_fetches_nothing(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "good", 0.1), write_run(tmp_path / "poor", 0.4)]
    runs.append(write_run(tmp_path / "pretrain", 0.2, elements=True))
    out = write_report(runs, tmp_path / "deep" / "report.html", title="A & B", note="Mind <this>.")
    text = out.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert len(page.links) == 3
    assert all(link.startswith("data:text/csv;base64,") for link in page.links)
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    assert len(text) < 8_000_000
    assert "A &amp; B" in text
    assert "Mind &lt;this&gt;." in text
    # One chart, three parity plots, three histograms of errors, one element map.
    assert page.tags.count("svg") == 8
    assert page.tags.count("script") == 1
    assert "&lt;script&gt;alert(1)" in text
    assert "c: &lt;b&gt;stale&lt;/b&gt; formula" in text
    assert "c0ffee" in text
    assert "torch <b>2.9.0</b>" in text
    assert "disordered 1, no cell 1" in text
    assert text.count('class="element ') == 118
    assert sorted(path.name for path in out.parent.iterdir()) == ["report.html"]


def with_structures(run: Path, count: int = 50) -> Path:
    """The same run, with what its test rows are of: rock salt, or perovskite with 5 atoms."""
    crystals = [rock_salt(), perovskite()]
    RunFolder(run).write_tested_structures(
        StructureOfTest(
            f"row-{row}",
            tuple(sorted(crystals[row % 2].composition)),
            crystals[row % 2].num_atoms,
            to_cif(crystals[row % 2]) if row < 4 else "",
        )
        for row in range(count)
    )
    return run


def test_where_errors_lie(tmp_path: Path) -> None:
    run = with_structures(write_run(tmp_path / "run", 0.25))
    test = read_run(run).predictions[TARGET]
    pictures: list[Crystal] = []
    worst = worst_of(test, pictures)
    assert len(worst) == 10
    assert [abs(one.prediction - one.target) for one in worst] == pytest.approx([0.25] * 10)
    assert len(pictures) == sum(one.place is not None for one in worst) > 0
    cells = {cell.symbol: cell for cell in element_cells(test, "eV")}
    assert cells["Na"].title == "Na: 25 structures, MAE 0.25 eV"
    assert cells["Fe"].share is None
    chart = size_chart(test, "eV")
    assert chart is not None
    assert [tick.label for tick in chart.x_ticks] == ["2", "5"]
    assert [bar.label for bar in chart.bars] == ["25", "25"]
    histogram = error_histogram(test, "eV")
    counts = [int(bar.title.partition(" eV: ")[2].partition(" ")[0]) for bar in histogram.bars]
    assert sum(counts) == 50
    assert {place for place, count in enumerate(counts) if count} == {0, len(counts) - 1}
    link = download_of(test, TARGET, "eV").partition(",")[2]
    header, *rows = base64.b64decode(link).decode().splitlines()
    assert header == f"id,{TARGET}:label [eV],{TARGET} [eV]"
    assert len(rows) == 50

    text = write_report([run], tmp_path / "r.html").read_text(encoding="utf-8")
    assert text.count("<canvas data-crystal=") == len(pictures)
    assert text.count('class="element error') == 118
    assert 'download="run-formation_energy_per_atom.csv"' in text


def test_structures_of_another_test_are_left_aside(tmp_path: Path) -> None:
    run = with_structures(write_run(tmp_path / "run", 0.25), count=49)
    test = read_run(run).predictions[TARGET]
    assert test.structures == ()
    assert size_chart(test, "eV") is None
    assert element_cells(test, "eV") == ()
    assert worst_of(test, [])[0].place is None


def test_runs_without_a_test_are_named(tmp_path: Path) -> None:
    untested = write_run(tmp_path / "untested", 0.2)
    (untested / "predictions" / "test.csv").unlink()
    for runs in ([untested], [write_run(tmp_path / "tested", 0.2), untested]):
        text = write_report(runs, tmp_path / "r.html").read_text(encoding="utf-8")
        assert "<td>untested</td><td" in text
        assert "not tested" in text


def test_what_repeats_a_run_leaves_it_alone(tmp_path: Path) -> None:
    named = read_run(write_run(tmp_path / "my run", 0.2))
    config = f"{named.folder}/config.yaml"
    assert named.repeat_command == (
        f"crystal fit --config '{config}' --trainer.default_root_dir '{named.folder}-again'"
    )
    numbered = read_run(write_run(tmp_path / "003", 0.2))
    assert numbered.repeat_command == f"crystal fit --config {numbered.folder}/config.yaml"


def test_crowded_points_are_drawn_last() -> None:
    rng = np.random.default_rng(0)
    target = np.concatenate([np.zeros(400), rng.uniform(-9, 9, 20)])
    plot = parity(
        title="", caption="", color=0, unit="", target=target, prediction=target,
        identifiers=[""] * 420, limits=(-10, 10),
    )  # fmt: skip
    assert sum(layer.count("M") for layer in plot.layers) == 420
    assert plot.layers[-1].count("M") >= 400
    assert plot.layers[0].count("M") > 10


def test_errors_are_those_of_the_predictions(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", 0.25))
    assert list(run.predictions) == [TARGET]
    test = run.predictions[TARGET]
    assert test.mae == pytest.approx(0.25)
    assert test.rmse == pytest.approx(0.25)
    assert test.r2 == pytest.approx(1 - 0.25**2 / np.var(test.target), abs=1e-9)
    assert test.spread == pytest.approx(np.abs(test.target - test.target.mean()).mean())
    assert run.unit(TARGET) == "eV/atom"
    assert run.rejected == {"disordered": 1, "no_cell": 1}
    assert run.notes == (("c", "<b>stale</b> formula"),)
    assert run.curves["val/mae"].values[-1] == pytest.approx(1 / 6)


def test_rows_are_ranked_and_the_best_is_marked(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, error) for name, error in (("bad", 0.5), ("best", 0.1))]
    text = write_report(runs, tmp_path / "r.html").read_text(encoding="utf-8")
    rows = re.findall(r'<tr( class="best")?>\s*<td><span class="key c\d"></span>(\w+)', text)
    assert rows == [(' class="best"', "best"), ("", "bad")]


def test_only_runs_of_one_training_size_compete(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, error) for name, error in (("a", 0.5), ("b", 0.3))]
    large = write_run(tmp_path / "large", 0.1)
    for run in runs:
        config = "data:\n  init_args:\n    train_size: 200\n"
        (run / "config.yaml").write_text(config, encoding="utf-8")
    assert read_run(runs[0]).train_size == 200
    assert read_run(large).train_size is None
    text = write_report([*runs, large], tmp_path / "r.html").read_text(encoding="utf-8")
    best = re.findall(r'<tr class="best">\s*<td><span class="key c\d"></span>(\w+)', text)
    assert best == ["b"]


def test_missing_labels_and_several_targets(tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    header = ("id", "a:target", "a:prediction", "b:target", "b:prediction")
    rows = [header, ("x", 1.0, 1.5, "", 3.0), ("y", 2.0, 2.5, 4.0, 3.0)]
    write_csv(tmp_path / "predictions" / "test.csv", rows)
    run = read_run(tmp_path)
    assert run.predictions["a"].mae == pytest.approx(0.5)
    assert run.predictions["b"].identifiers == ("y",)


def test_later_rows_of_an_epoch_complete_it(tmp_path: Path) -> None:
    rows = [("epoch", "step", "val/mae"), (0, 1, ""), (0, 1, 2.0), (1, 2, "nan"), (2, 3, 1.0)]
    write_csv(tmp_path / "metrics.csv", rows)
    curve = read_run(tmp_path).curves["val/mae"]
    assert curve.epochs.tolist() == [0, 2]
    assert curve.values.tolist() == [2.0, 1.0]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("results.json", b"{", "not JSON"),
        ("results.json", b"{}", "not a result file"),
        ("results.json", b"[" * 10**5, "not JSON"),
        ("results.json", b'{"format_version": 1, "results": [3]}', "not a result file"),
        ("metrics.csv", b"", "it is empty"),
        ("metrics.csv", b"epoch,val/mae\n0,good\n", "column val/mae holds 'good'"),
        ("metrics.csv", b"epoch,val/mae\n0,1,2\n", "row 2 has 3 cells, the header 2"),
        ("metrics.csv", b"epoch,val/mae\n0,1\n1,0.", "the last line is cut off"),
        ("metrics.csv", b"step\n1\n", "it has no column epoch"),
        ("metrics.csv", b'epoch,"\n', "not CSV"),
        ("predictions/test.csv", b"id,target,prediction\na,1,x\n", "column prediction"),
        ("predictions/test.csv", b"target,prediction\n1,2\n", "it has no column id"),
        ("predictions/test.csv", b"\xff\xfe\x00", "not UTF-8"),
        ("config.yaml", b"a: [", "not YAML"),
        ("config.yaml", b"\xff\xfe\x00\x01", "not UTF-8"),
        ("config.yaml", b"!!python/object/apply:os.system [true]", "not YAML"),
        ("rejected.csv", b"\xff\xfe\x00", "not UTF-8"),
        ("excluded.csv", b"id\na,b\n", "row 2 has 2 cells"),
        ("artifact/config.json", b"[]", "dict expected, list found"),
        ("stage.json", b"{", "not JSON"),
    ],
)
def test_damaged_files_are_one_line(
    tmp_path: Path, file: str, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", 0.2)
    (run / file).parent.mkdir(exist_ok=True)
    (run / file).write_bytes(content)
    assert main([str(run), "--out", str(tmp_path / "r.html")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {run / file}: damaged: ")
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run"):
        read_run(tmp_path)


def test_wrong_types_in_an_artifact_are_as_if_nothing_was_there(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", 0.2)
    (run / "artifact").mkdir(exist_ok=True)
    (run / "artifact" / "config.json").write_text('{"targets": 3}')
    (run / "artifact" / "metadata.json").write_text('{"data": 7, "versions": 3}')
    assert main([str(run), "--out", str(tmp_path / "r.html")]) == 0


def test_command_answers_with_status_and_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "none"), "--out", str(tmp_path / "r.html")]) == 1
    assert "no such folder" in capsys.readouterr().err
    run = write_run(tmp_path / "run", 0.2)
    assert main([str(run), "--out", str(tmp_path / "r.html")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "r.html")


def test_axes_have_round_ticks() -> None:
    assert [t.label for t in Axis(-0.3, 2.2, 0, 100).ticks(5)] == ["0", "0.5", "1", "1.5", "2"]
    log = Axis(0.09, 30.0, 100, 0, log=True)
    assert [t.label for t in log.ticks()] == ["0.1", "1", "10"]
    assert log.position(np.array(0.09)) == pytest.approx(100)


def test_labels_of_curves_that_end_together_do_not_touch() -> None:
    epochs = np.arange(3.0)
    series = [Series(str(i), i, epochs, np.array([9.0, 2.0, 1.0 + i / 1e6])) for i in range(5)]
    places = sorted(line.label_y for line in line_chart("t", "y", series).lines)
    assert min(np.diff(places)) >= 13.9
