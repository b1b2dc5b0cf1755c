"""`crystal report`: one page about finished runs that needs nothing beside itself."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from crystal_apps.report.classes import (
    ClassRow,
    SquareChart,
    calibration_chart,
    class_rows,
    misclassified,
    roc_chart,
)
from crystal_apps.report.element_tables import element_table
from crystal_apps.report.errors import (
    BarChart,
    ElementCell,
    Worst,
    download_of,
    element_cells,
    error_histogram,
    size_chart,
    worst_of,
)
from crystal_apps.report.figures import (
    NUM_COLORS,
    LineChart,
    Scatter,
    Series,
    element_map,
    line_chart,
    parity,
    parity_limits,
)
from crystal_apps.report.runs import Predictions, Run, read_run
from crystal_data import SYMBOLS, Crystal
from crystal_data.cli.show import viewer
from crystal_data.io import write_text
from crystal_data.processes import report_errors
from crystal_embed.analysis import Clusters, Projection, k_means, nearest, project, table_position


@dataclass(frozen=True)
class ResultRow:
    """A line of the result table.

    Args:
        gain: Share of the spread of the labels that is predicted, from 0 to 1, for the bar.
        best: Whether it is the best of several that were trained on as many rows.
    """

    run: Run
    color: int
    target: str
    unit: str
    test: Predictions
    gain: float
    best: bool


@dataclass(frozen=True)
class ErrorDetails:
    """Where the errors of a line of a result table lie.

    Args:
        name: What the mean error of an element is called.
    """

    row: ResultRow | ClassRow
    unit: str
    charts: tuple[BarChart, ...]
    elements: tuple[ElementCell, ...]
    worst: tuple[Worst, ...]
    download: str
    name: str = "MAE"


@dataclass(frozen=True)
class ClassPanel:
    """The figures of a line of the table of class scores."""

    row: ClassRow
    squares: tuple[SquareChart, ...]


@dataclass(frozen=True)
class Cell:
    """A place in the periodic table; ``cluster`` is None for an element that was not trained."""

    symbol: str
    number: int
    row: int
    column: int
    cluster: int | None
    title: str


@dataclass(frozen=True)
class Embedding:
    """What is shown of one element table."""

    run: Run
    projection: Projection
    clusters: Clusters
    cells: tuple[Cell, ...]
    map: Scatter


def write_report(
    folders: Sequence[str | Path], out: str | Path, *, title: str = "", note: str = "",
    command: str = "",
) -> Path:  # fmt: skip
    """Writes one self-contained HTML page.

    Args:
        folders: Run folders.
        out: The page; its folder is made if need be.
        title: Headline; a plain one by default.
        note: What the reader has to know before the figures, such as what they do not show.
        command: How all the runs are repeated; by default each run's own ``crystal fit`` is shown.

    Raises:
        RunError: If a folder is not that of a run.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    runs = _named_apart([read_run(folder) for folder in folders])
    environment = Environment(
        loader=PackageLoader("crystal_apps.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = _result_rows(runs)
    classes = class_rows(runs, {run.name: n % NUM_COLORS for n, run in enumerate(runs)})
    pictures: list[Crystal] = []
    details = [_error_details(row, pictures) for row in rows]
    details += [_class_details(row, pictures) for row in classes]
    page = environment.get_template("report.html").render(
        title=title or f"{len(runs)} run{'s' if len(runs) > 1 else ''}",
        note=note,
        command=command,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        runs=runs,
        rows=rows,
        classes=[_class_panel(row) for row in classes],
        untested=[run for run in runs if not run.is_tested],
        details=details,
        viewer=Markup(viewer(pictures)) if pictures else "",
        charts=_charts(runs),
        parities=_parities(rows),
        embeddings=[shown for run in runs if (shown := _embedding(run))],
        versions=_versions(runs),
    )
    write_text(Path(out), page)
    return Path(out)


def _named_apart(runs: Sequence[Run]) -> list[Run]:
    """Runs of one name get their parent folder's in front, so that labels tell them apart."""
    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.folder.resolve().parent.name}/{run.name}")
        if names.count(run.name) > 1
        else run
        for run in runs
    ]


def _result_rows(runs: Sequence[Run]) -> list[ResultRow]:
    rows = []
    for place, run in enumerate(runs):
        for target, test in run.predictions.items():
            if run.is_probability(target):
                continue
            rivals = [
                other.predictions[target].mae
                for other in runs
                if target in other.predictions and other.train_size == run.train_size
            ]
            rows.append(
                ResultRow(
                    run=run,
                    color=place % NUM_COLORS,
                    target=target,
                    unit=run.unit(target),
                    test=test,
                    gain=float(np.clip(1 - test.mae / test.spread, 0, 1)) if test.spread else 0.0,
                    best=len(rivals) > 1 and test.mae == min(rivals),
                )
            )
    return sorted(rows, key=lambda row: (row.target, row.test.mae))


def _error_details(row: ResultRow, pictures: list[Crystal]) -> ErrorDetails:
    charts = (error_histogram(row.test, row.unit), size_chart(row.test, row.unit))
    return ErrorDetails(
        row=row,
        unit=row.unit,
        charts=tuple(chart for chart in charts if chart is not None),
        elements=element_cells(row.test, row.unit),
        worst=worst_of(row.test, pictures),
        download=download_of(row.test, row.target, row.unit),
    )


def _class_details(row: ClassRow, pictures: list[Crystal]) -> ErrorDetails:
    wrong, name = misclassified(row.test), "share wrong"
    by_size = size_chart(wrong, "", name)
    return ErrorDetails(
        row=row,
        unit="",
        charts=() if by_size is None else (by_size,),
        elements=element_cells(wrong, "", name),
        worst=worst_of(row.test, pictures),
        download=download_of(row.test, row.target, "1"),
        name=name,
    )


def _class_panel(row: ClassRow) -> ClassPanel:
    charts = (roc_chart(row.test, row.scores), calibration_chart(row.test))
    return ClassPanel(row, tuple(chart for chart in charts if chart is not None))


def _charts(runs: Sequence[Run]) -> list[LineChart]:
    """One chart for each loss of the validation split that curves were logged of."""
    return [
        *_loss_charts(runs, "val/mae", "MAE"),
        *_loss_charts(runs, "val/cross_entropy", "cross-entropy"),
    ]


def _loss_charts(runs: Sequence[Run], metric: str, words: str) -> list[LineChart]:
    names = dict.fromkeys(name for run in runs for name in run.curves if name.startswith(metric))
    # For a run of one target both names hold the same numbers.
    if any(name.startswith(f"{metric}/") for name in names):
        names.pop(metric, None)
    charts = []
    for name in names:
        having = [(place, run) for place, run in enumerate(runs) if name in run.curves]
        target = name.removeprefix(metric).strip("/")
        series = [
            Series(run.name, place % NUM_COLORS, run.curves[name].epochs, run.curves[name].values)
            for place, run in having
        ]
        if len(having) == 1:
            place, run = having[0]
            series[0] = replace(series[0], label="validation")
            train = run.curves.get(name.replace("val/", "train/"))
            if train is not None:
                series.append(
                    Series("training", place % NUM_COLORS, train.epochs, train.values, dashed=True)
                )
        unit = next((u for _, run in having if (u := run.unit(target))), "")
        label = f"{words}, {unit}" if unit not in ("", "1") else words
        title = target.replace("_", " ") or "all targets"
        charts.append(line_chart(title, label, series))
    return charts


def _parities(rows: Sequence[ResultRow]) -> list[tuple[str, list[Scatter]]]:
    """Parity panels by target; those of one target share their axes."""
    panels = []
    for target in dict.fromkeys(row.target for row in rows):
        same = [row for row in rows if row.target == target]
        columns = [column for row in same for column in (row.test.target, row.test.prediction)]
        limits = parity_limits(columns)
        plots = [
            parity(
                title=row.run.name,
                caption=f"MAE {row.test.mae:#.3g} {row.unit}, R² {row.test.r2:.3f}",
                color=row.color,
                unit=row.unit,
                target=row.test.target,
                prediction=row.test.prediction,
                identifiers=row.test.identifiers,
                limits=limits,
            )
            for row in same
        ]
        panels.append((target, plots))
    return panels


def _embedding(run: Run) -> Embedding | None:
    table = element_table(run)
    if table is None:
        return None
    projection = project(table)
    clusters = k_means(projection, NUM_COLORS)
    near = {
        symbol: ", ".join(other for other, _ in one.by_cosine)
        for symbol, one in nearest(projection, 4).items()
    }
    titles = {
        symbol: f"{symbol}: cluster {label + 1}; most alike {near[symbol]}"
        for symbol, label in zip(clusters.symbols, clusters.labels, strict=True)
    }
    label_of = dict(zip(clusters.symbols, clusters.labels, strict=True))
    cells = (
        Cell(s, z, *table_position(s), label_of.get(s), titles.get(s, f"{s}: not in the data"))
        for z, s in enumerate(SYMBOLS)
        if z
    )
    coords, _ = projection.plane
    drawn = element_map(coords, clusters.symbols, clusters.labels, list(titles.values()))
    return Embedding(run, projection, clusters, tuple(cells), drawn)


def _versions(runs: Sequence[Run]) -> dict[str, str]:
    """Library to version; several where runs differ."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for name, version in run.versions.items():
            found.setdefault(name, [])
            if version not in found[name]:
                found[name].append(version)
    return {name: ", ".join(versions) for name, versions in sorted(found.items())}


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``crystal report``."""
    parser = argparse.ArgumentParser(
        prog="crystal report",
        description="Write one HTML page about finished runs: results, learning curves, parity "
        "plots, element embeddings, versions and data hashes. It needs no network to be read.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--out", default="report.html", help="the page (default: %(default)s)")
    parser.add_argument("--title", default="", help="headline of the page")
    options = parser.parse_args(argv)
    print(write_report(options.runs, options.out, title=options.title))
    return 0
