"""How well the intervals of an ensemble hold, as a table, text and a figure."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from crystal_data.inference.calibration import CoverageRow
from crystal_data.inference.ensemble import Ensemble
from crystal_data.io.files import csv_text

CALIBRATION_TABLE, CALIBRATION_FIGURE = "calibration.csv", "calibration.svg"


def coverage_cells(rows: Sequence[CoverageRow]) -> list[tuple[str, ...]]:
    """The table of one target as text, its header first."""
    header = ("expected", "as it is", "calibrated", "mean width")
    return [header, *(tuple(f"{value:.3g}" for value in asdict(row).values()) for row in rows)]


def coverage_csv(ensemble: Ensemble, tables: Mapping[str, Sequence[CoverageRow]]) -> str:
    """The tables of all targets as one CSV file."""
    rows = [
        [name, *asdict(row).values(), ensemble.unit_of(name)]
        for name, rows in tables.items()
        for row in rows
    ]
    header = ["target", "expected", "as_is", "calibrated", "mean_width", "unit"]
    return csv_text(header, rows)


def coverage_figure(tables: Mapping[str, Sequence[CoverageRow]]) -> str:
    """Expected against observed coverage, one panel for each target, as SVG text.

    Raises:
        ModuleNotFoundError: Without matplotlib.
    """
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
