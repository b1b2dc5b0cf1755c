"""Where the errors of a test lie: their sizes, elements, numbers of atoms, and the largest."""

import base64
from dataclasses import dataclass

import numpy as np

from crystal_apps.report.figures import Axis, Tick, Values
from crystal_apps.report.runs import Predictions
from crystal_data import SYMBOLS, Crystal, parse_cif
from crystal_data.io import csv_text
from crystal_data.run_folder import IDENTIFIER, prediction_columns
from crystal_embed.analysis import table_position

NUM_WORST = 10
_NUM_BARS = 41  # odd, so that the middle one is around no error
_NUM_SIZES = 8
_SHOWN_SHARE = 99.0  # percent of the errors that the histogram spans


@dataclass(frozen=True)
class Bar:
    """A bar of a chart, px, and what it says when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    title: str
    label: str = ""


@dataclass(frozen=True)
class BarChart:
    """Bars above a line."""

    title: str
    caption: str
    x_label: str
    y_label: str
    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int
    height: int
    box: tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class ElementCell:
    """An element in the periodic table; ``share`` is its error, of the largest one, in percent."""

    symbol: str
    row: int
    column: int
    error: str
    share: float | None
    title: str


@dataclass(frozen=True)
class Worst:
    """A structure with one of the largest errors; ``place`` is that of its picture, if any."""

    identifier: str
    formula: str
    target: float
    prediction: float
    num_atoms: int | None
    place: int | None


def error_histogram(test: Predictions, unit: str) -> BarChart:
    """How often which error occurs, with its sign."""
    errors = test.errors
    reach = float(np.percentile(np.abs(errors), _SHOWN_SHARE)) or 1.0
    edges = np.linspace(-reach, reach, _NUM_BARS + 1)
    # Those beyond stand in the outermost bars.
    counts, _ = np.histogram(np.clip(errors, -reach, reach), edges)
    beyond = int((np.abs(errors) > reach).sum())
    left, top, right, bottom = _BOX
    x, y = Axis(-reach, reach, left, right), Axis(0.0, float(counts.max()) * 1.05, bottom, top)
    starts, tops = x.position(edges), y.position(counts.astype(np.float64))
    bars = tuple(
        Bar(
            float(starts[k]) + 0.5,
            float(tops[k]),
            float(starts[k + 1] - starts[k]) - 1.0,
            float(bottom - tops[k]),
            f"{edges[k]:.3g} to {edges[k + 1]:.3g} {unit}: {count} structures",
        )
        for k, count in enumerate(counts.tolist())
    )
    bias = float(errors.mean())
    caption = f"mean {bias:+.3g}, median of the size {np.median(np.abs(errors)):.3g} {unit}".strip()
    if beyond:
        caption += f"; {beyond} beyond ±{reach:.3g} are in the outermost bars"
    label = f"predicted minus true, {unit}" if unit else "predicted minus true"
    return BarChart(
        "Errors", caption, label, "structures", bars, x.ticks(), y.ticks(4), *_SIZE, _BOX
    )


def size_chart(test: Predictions, unit: str, name: str = "MAE") -> BarChart | None:
    """Mean absolute error by number of atoms of the cell; None where these are not known.

    Args:
        test: Predictions of a target.
        unit: Of the target.
        name: What the mean absolute error is called.
    """
    if not test.structures:
        return None
    atoms = np.array([one.num_atoms for one in test.structures])
    starts = np.unique(atoms)
    if len(starts) > _NUM_SIZES:  # then each bar has about as many structures
        shares = np.linspace(0, 1, _NUM_SIZES, endpoint=False)
        starts = np.unique(np.quantile(atoms, shares, method="nearest"))
    groups = np.searchsorted(starts, atoms, side="right")
    found = []
    for group in np.unique(groups):
        of_group = atoms[groups == group]
        low, high = int(of_group.min()), int(of_group.max())
        error = float(np.abs(test.errors[groups == group]).mean())
        found.append((str(low) if low == high else f"{low}–{high}", len(of_group), error))
    left, top, right, bottom = _BOX
    y = Axis(0.0, max(error for _, _, error in found) * 1.12 or 1.0, bottom, top)
    step = (right - left) / len(found)
    bars, ticks = [], []
    for place, (atoms_of, count, error) in enumerate(found):
        height = bottom - float(y.position(np.array(error)))
        x = left + place * step
        title = f"{atoms_of} atoms: {count} structures, {name} {error:.3g} {unit}".strip()
        bars.append(Bar(x + 3, bottom - height, step - 6, height, title, f"{count}"))
        ticks.append(Tick(x + step / 2, atoms_of))
    label = f"{name}, {unit}" if unit else name
    caption = "above the bars: structures"
    return BarChart(
        "By number of atoms", caption, "atoms of the cell", label, tuple(bars), tuple(ticks),
        y.ticks(4), *_SIZE, _BOX,
    )  # fmt: skip


def element_cells(test: Predictions, unit: str, name: str = "MAE") -> tuple[ElementCell, ...]:
    """Mean absolute error of the structures that hold each element; empty if not known.

    Arguments are those of ``size_chart``.
    """
    if not test.structures:
        return ()
    errors: dict[str, list[float]] = {}
    for one, error in zip(test.structures, np.abs(test.errors).tolist(), strict=True):
        for symbol in one.elements:
            errors.setdefault(symbol, []).append(error)
    means = {symbol: float(np.mean(values)) for symbol, values in errors.items()}
    largest = max(means.values()) or 1.0
    cells = []
    for symbol in SYMBOLS[1:]:
        count, mean = len(errors.get(symbol, ())), means.get(symbol)
        title = f"{symbol}: not in the test"
        if mean is not None:
            title = f"{symbol}: {count} structures, {name} {mean:.3g} {unit}".strip()
        cells.append(
            ElementCell(
                symbol,
                *table_position(symbol),
                "" if mean is None else f"{mean:.2g}",
                None if mean is None else round(100 * mean / largest, 1),
                title,
            )
        )
    return tuple(cells)


def worst_of(test: Predictions, pictures: list[Crystal]) -> tuple[Worst, ...]:
    """The structures with the largest errors, the largest first.

    Args:
        test: Predictions of a target.
        pictures: Crystals that the page draws; those that are found are appended.
    """
    found = []
    for row in np.argsort(-np.abs(test.errors), kind="stable")[:NUM_WORST].tolist():
        structure = test.structures[row] if test.structures else None
        crystal = parse_cif(structure.cif) if structure is not None and structure.cif else None
        if crystal is not None:
            pictures.append(crystal)
        found.append(
            Worst(
                identifier=test.identifiers[row],
                formula="" if crystal is None else crystal.formula,
                target=float(test.target[row]),
                prediction=float(test.prediction[row]),
                num_atoms=None if structure is None else structure.num_atoms,
                place=None if crystal is None else len(pictures) - 1,
            )
        )
    return tuple(found)


def download_of(test: Predictions, target: str, unit: str) -> str:
    """The predictions as the address of a link, which holds them itself."""
    header = (IDENTIFIER, *prediction_columns(target, unit))
    rows = zip(test.identifiers, _texts(test.target), _texts(test.prediction), strict=True)
    table = csv_text(header, rows)
    return f"data:text/csv;base64,{base64.b64encode(table.encode()).decode()}"


def _texts(values: Values) -> list[str]:
    return [f"{value:.9g}" for value in values.tolist()]


_SIZE = (520, 300)
_BOX = (52.0, 16.0, 508.0, 250.0)
