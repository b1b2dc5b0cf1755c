"""`crystal-embed ensemble`: several models as one that says how sure it is."""

import argparse
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import report_errors
from crystal_embed.commands.models import aligned, with_unit
from crystal_embed.shipped import find_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crystal_data.inference import CoverageRow, Ensemble

_TABLE, _FIGURE = "calibration.csv", "calibration.svg"


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        "crystal-embed ensemble",
        description="Write a folder with several models of the same targets, such as one config "
        "trained with several seeds. `crystal-embed predict --model FOLDER` then gives their mean, "
        "their deviation and, if calibrated, a 90 % interval.",
    )
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="folders of artifacts or runs, two or more"
    )
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    parser.add_argument(
        "--calibrate",
        metavar="INPUT",
        help="structures with labels that no member was trained on, such as a table with the "
        "columns cif and the target; half of them, drawn, give the factor between the members' "
        f"deviation and the error, the others check it: {_TABLE} and, with matplotlib, {_FIGURE}",
    )
    arguments = parser.parse_args(argv)
    if len(arguments.models) < 2:
        parser.error("an ensemble has two models or more")
    _write(arguments.models, arguments.output, arguments.calibrate)
    return 0


def _write(models: Sequence[str], output: Path, labelled: str | None) -> None:
    from crystal_data.inference import Ensemble, save_ensemble
    from crystal_data.training import PropertyModule

    places = [find_model(model) for model in models]
    ensemble = Ensemble([PropertyModule.from_pretrained(place) for place in places])
    tables: dict[str, list[CoverageRow]] = {}
    files: dict[str, str] = {}
    if labelled is not None:
        ensemble.scale, tables = calibrate(ensemble, labelled)
        files = _reports(ensemble, tables)
    save_ensemble(output, places, ensemble.scale, files=files)
    for name, rows in tables.items():
        print(f"{with_unit(name, ensemble.unit_of(name))}: factor {ensemble.scale[name]:.3g}")
        print("\n".join(aligned(_cells(rows))))
    print(f"ensemble of {len(places)}: {output}")


def calibrate(
    ensemble: "Ensemble", labelled: str
) -> "tuple[dict[str, float], dict[str, list[CoverageRow]]]":
    """Factor and table of each target.

    Args:
        ensemble: Its own factors are not looked at.
        labelled: Path of structures with labels.

    Raises:
        InvalidArgumentError: If labels are missing or too few.
    """
    from crystal_data.inference import predict_source
    from crystal_data.sources import PathsSource

    served = predict_source(ensemble.members, PathsSource([labelled], ensemble.targets))
    if served is None:
        raise InvalidArgumentError("ensembles are calibrated in one process")
    labels = served.store.targets(ensemble.targets, served.rows)
    return calibrate_columns(ensemble.combine(served.predictions), labels)


def calibrate_columns(
    columns: "Mapping[str, NDArray[np.float64]]", labels: "Mapping[str, NDArray[np.float64]]"
) -> "tuple[dict[str, float], dict[str, list[CoverageRow]]]":
    """Factor and table of each target.

    The factor comes from one half of the labels, the table from the other: what the factor was
    found on would flatter it.

    Args:
        columns: Target and ``target:std`` to predictions; shape ``[num_crystals]``.
        labels: Target to labels, NaN where there is none; shape ``[num_crystals]``.

    Raises:
        InvalidArgumentError: If labels are too few.
    """
    from crystal_data.inference import conformal_scale, coverage_table

    num_crystals = len(next(iter(labels.values())))
    shuffled = np.random.default_rng(0).permutation(num_crystals)
    scale, tables = {}, {}
    for name in labels:
        rows = shuffled[np.isfinite(labels[name][shuffled])]
        fitted, checked = rows[: len(rows) // 2], rows[len(rows) // 2 :]
        error, std = columns[name] - labels[name], columns[f"{name}:std"]
        scale[name] = conformal_scale(error[fitted], std[fitted])
        tables[name] = coverage_table(error[checked], std[checked], scale[name])
    return scale, tables


def _cells(rows: "Sequence[CoverageRow]") -> list[tuple[str, ...]]:
    header = ("expected", "as it is", "calibrated", "mean width")
    return [header, *(tuple(f"{value:.3g}" for value in asdict(row).values()) for row in rows)]


def _reports(ensemble: "Ensemble", tables: "Mapping[str, list[CoverageRow]]") -> dict[str, str]:
    from crystal_data.io import csv_text

    rows = [
        [name, *asdict(row).values(), ensemble.unit_of(name)]
        for name, rows in tables.items()
        for row in rows
    ]
    header = ["target", "expected", "as_is", "calibrated", "mean_width", "unit"]
    files = {_TABLE: csv_text(header, rows)}
    try:
        files[_FIGURE] = _figure(tables)
    except ModuleNotFoundError:
        print(f"no {_FIGURE}: pip install 'crystal-embed[analysis]' brings matplotlib")
    return files


def _figure(tables: "Mapping[str, list[CoverageRow]]") -> str:
    """Expected against observed coverage, one panel for each target, as SVG text."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Text stays text, and the same numbers give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "calibration", "font.size": 9}):
        figure = Figure(figsize=(3.4 * len(tables), 3.4), layout="constrained")
        panels: Any = figure.subplots(1, len(tables), squeeze=False)[0]
        for panel, (name, rows) in zip(panels, tables.items(), strict=True):
            expected = [row.expected for row in rows]
            panel.plot([0, 1], [0, 1], color="#66717f", linewidth=1, label="ideal")
            panel.plot(expected, [row.as_is for row in rows], "o--", label="as it is")
            panel.plot(expected, [row.calibrated for row in rows], "o-", label="calibrated")
            panel.set(title=name, xlabel="expected share of labels", xlim=(0, 1), ylim=(0, 1))
            panel.set_ylabel("observed share of labels")
            panel.legend(frameon=False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()
