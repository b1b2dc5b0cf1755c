"""Geometry of the report's figures; the template draws it as SVG in the colors of the page."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crystal_embed.analysis import pushed_apart

Values = NDArray[np.float64]

NUM_COLORS = 8  # of the style sheet's palette
NUM_LAYERS = 4  # of points, by how dense they are; the next one has four times as many
_DENSITY_BINS = 60  # along each axis
_MARKED = 12  # points of a parity plot that say what they are


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis, px."""

    position: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Values to pixels.

    Args:
        low: Value at ``start``.
        high: Value at ``end``.
        start: px; larger than ``end`` for an axis that points up.
        end: px.
        log: Whether equal steps are equal factors.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def position(self, value: Values) -> Values:
        """Pixels of values."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = np.log(value), float(np.log(low)), float(np.log(high))
        return self.start + (np.asarray(value) - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> tuple[Tick, ...]:
        """Round numbers along the axis."""
        values = _log_ticks(self.low, self.high) if self.log else _ticks(self.low, self.high, most)
        positions = self.position(values)
        return tuple(Tick(float(p), f"{v:g}") for p, v in zip(positions, values, strict=True))


@dataclass(frozen=True)
class Line:
    """One curve with its label at its end, px."""

    path: str
    label: str
    color: int
    dashed: bool
    end: tuple[float, float]
    label_y: float


@dataclass(frozen=True)
class LineChart:
    """Curves over epochs on one pair of axes."""

    title: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    width: int
    height: int
    box: tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Series:
    """Values over epochs, to be drawn."""

    label: str
    color: int
    epochs: Values
    values: Values
    dashed: bool = False


@dataclass(frozen=True)
class Mark:
    """A point that says what it is, px."""

    x: float
    y: float
    title: str
    label: str = ""
    color: int = 0


@dataclass(frozen=True)
class Scatter:
    """Points on equal axes, px."""

    title: str
    caption: str
    color: int
    layers: tuple[str, ...]  # of points, from where there are few to where there are many
    marks: tuple[Mark, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int
    height: int
    box: tuple[float, float, float, float]
    unit: str


def line_chart(title: str, y_label: str, series: Sequence[Series]) -> LineChart:
    """Curves over epochs, y logarithmic, each labelled at its end."""
    width, height = 520, 320
    left, top, right, bottom = 52.0, 14.0, 372.0, 280.0
    epochs = np.concatenate([s.epochs for s in series])
    values = np.concatenate([s.values for s in series])
    values = values[values > 0]
    margin = (values.max() / values.min()) ** 0.04 if values.max() > values.min() else 1.1
    x = Axis(float(epochs.min()), float(max(epochs.max(), epochs.min() + 1)), left, right)
    y = Axis(float(values.min() / margin), float(values.max() * margin), bottom, top, log=True)
    drawn = []
    for one in series:
        shown = one.values > 0
        px, py = x.position(one.epochs[shown]), y.position(one.values[shown])
        drawn.append((one, _path(px, py), (float(px[-1]), float(py[-1]))))
    label_ys = _spread([end[1] for _, _, end in drawn], gap=14.0, low=top, high=bottom)
    lines = (
        Line(path, one.label, one.color, one.dashed, end, label_y)
        for (one, path, end), label_y in zip(drawn, label_ys, strict=True)
    )
    whole = tuple(tick for tick in x.ticks() if "." not in tick.label)
    box = (left, top, right, bottom)
    return LineChart(title, y_label, whole, y.ticks(), tuple(lines), width, height, box)


def parity(
    *,
    title: str,
    caption: str,
    color: int,
    unit: str,
    target: Values,
    prediction: Values,
    identifiers: Sequence[str],
    limits: tuple[float, float],
) -> Scatter:
    """Predictions over targets; the worst points carry their identifiers.

    Panels of one target can be compared when they have the same ``limits``, the range of both axes.
    """
    size, left, top, right, bottom = 300, 46.0, 10.0, 290.0, 254.0
    x = Axis(*limits, left, right)
    y = Axis(*limits, bottom, top)
    px, py = x.position(target), y.position(prediction)
    worst = np.argsort(-np.abs(prediction - target))[:_MARKED]
    marks = (
        Mark(
            float(px[row]),
            float(py[row]),
            f"{identifiers[row]}: target {target[row]:.4g}, predicted {prediction[row]:.4g} {unit}",
        )
        for row in worst
    )
    return Scatter(
        title, caption, color, _layers(px, py), tuple(marks), x.ticks(7), y.ticks(7), size, size,
        (left, top, right, bottom), unit,
    )  # fmt: skip


def element_map(
    coords: Values, labels: Sequence[str], colors: Sequence[int], titles: Sequence[str]
) -> Scatter:
    """Elements as their symbols at ``[num_elements, 2]`` coordinates, pushed apart to be read."""
    width, height, margin = 520, 430, 16.0
    low, high = coords.min(axis=0), coords.max(axis=0)
    px = Axis(low[0], high[0], margin, width - margin).position(coords[:, 0])
    py = Axis(low[1], high[1], height - margin, margin).position(coords[:, 1])
    places = pushed_apart(np.stack([px, py], axis=1), np.array([21.0, 14.0]))
    low, high = np.array([margin, margin]), np.array([width - margin, height - margin])
    places = np.clip(places, low, high)
    marks = (
        Mark(float(a), float(b), title, label, color)
        for (a, b), title, label, color in zip(places, titles, labels, colors, strict=True)
    )
    box = (0.0, 0.0, float(width), float(height))
    return Scatter("", "", 0, (), tuple(marks), (), (), width, height, box, "")


def parity_limits(columns: Sequence[Values]) -> tuple[float, float]:
    """A common range with a little room."""
    values = np.concatenate(columns)
    low, high = float(values.min()), float(values.max())
    room = 0.03 * (high - low) or 1.0
    return low - room, high + room


def _path(px: Values, py: Values) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(px, py, strict=True))


def _dots(px: Values, py: Values) -> str:
    # Strokes of no length with round ends are the shortest way to write many dots.
    return "".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(px, py, strict=True))


def _layers(px: Values, py: Values) -> tuple[str, ...]:
    """Points by how many others lie around them, so that those in crowds are drawn last."""
    counts, x_edges, y_edges = np.histogram2d(px, py, bins=_DENSITY_BINS)
    column = np.clip(np.searchsorted(x_edges, px, side="right") - 1, 0, _DENSITY_BINS - 1)
    row = np.clip(np.searchsorted(y_edges, py, side="right") - 1, 0, _DENSITY_BINS - 1)
    crowd = counts[column, row]
    level = np.clip(np.log2(crowd).astype(np.int64) // 2, 0, NUM_LAYERS - 1)
    return tuple(_dots(px[level == one], py[level == one]) for one in range(NUM_LAYERS))


def _ticks(low: float, high: float, most: int) -> Values:
    rough = (high - low) / most
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough)
    first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
    return np.round(np.arange(first, last + 1) * step, 12) + 0.0  # no negative zero


def _log_ticks(low: float, high: float) -> Values:
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        values = np.array([digit * 10.0**decade for decade in decades for digit in digits])
        inside = values[(values >= low) & (values <= high)]
        if len(inside) >= 3:
            return np.asarray(inside, dtype=np.float64)
    return _ticks(low, high, 4)


def _spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places close to the wanted ones that keep a distance, so that labels can be read."""
    order = np.argsort(positions)
    placed = np.array(positions, dtype=np.float64)[order]
    for k in range(1, len(placed)):
        placed[k] = max(placed[k], placed[k - 1] + gap)
    overshoot = max(0.0, placed[-1] - high)
    placed -= overshoot
    for k in range(len(placed) - 2, -1, -1):
        placed[k] = min(placed[k], placed[k + 1] - gap)
    placed += max(0.0, low - placed[0])
    result = np.empty_like(placed)
    result[order] = placed
    return [float(value) for value in result]
