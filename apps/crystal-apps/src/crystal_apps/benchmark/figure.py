"""A benchmark's tables as a picture: each seed a dot, learning curves as lines."""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from crystal_apps.benchmark.convergence import UNCONVERGED_MARK
from crystal_apps.benchmark.results import BenchmarkResults, ResultTable, Row
from crystal_embed.analysis import COLORS

_DODGE = 0.02
_WIDTH, _ROW_HEIGHT, _CURVE_HEIGHT = 7.0, 0.34, 3.2  # inches


def draw(results: BenchmarkResults) -> str:
    """One panel for each table, as SVG text."""
    heights = [_height(table) for table in results.tables]
    # Text stays text, and the same numbers give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": results.name, "font.size": 9}):
        figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
        panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        for panel, table in zip(panels, results.tables, strict=True):
            panel.set_title(table.spec.title, loc="left", fontweight="bold")
            panel.spines[["top", "right"]].set_visible(False)
            if _sizes(table) is None:
                _draw_rows(panel, table)
            else:
                _draw_curves(panel, table)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _sizes(table: ResultTable) -> str | None:
    """The axis whose values are numbers, and so make a curve."""
    axes = list(table.rows[0].variant)
    numeric = [a for a in axes if all(row.variant[a].isdecimal() for row in table.rows)]
    return numeric[0] if numeric and len(axes) == 2 else None


def _height(table: ResultTable) -> float:
    return _CURVE_HEIGHT if _sizes(table) else 0.9 + _ROW_HEIGHT * len(table.rows)


def _row_label(table: ResultTable, row: Row) -> str:
    return (row.name or table.spec.stage) + (f" {UNCONVERGED_MARK}" if row.unconverged else "")


def _draw_rows(panel: Any, table: ResultTable) -> None:
    for place, row in enumerate(table.rows):
        color = COLORS[place % len(COLORS)]
        seeds = list(row.by_seed.values())
        panel.plot(seeds, [place] * len(seeds), "o", color=color, alpha=0.45, markersize=5)
        panel.plot([row.mean], [place], "|", color=color, markersize=15, markeredgewidth=2.5)
    panel.set_yticks(range(len(table.rows)), [_row_label(table, row) for row in table.rows])
    panel.set_ylim(len(table.rows) - 0.5, -0.5)
    panel.set_xlabel(table.label)
    panel.grid(axis="x", color="#dddddd", linewidth=0.6)


def _draw_curves(panel: Any, table: ResultTable) -> None:
    sizes = _sizes(table) or ""
    lines: dict[str, list[Row]] = {}
    for row in table.rows:
        name = next(value for axis, value in row.variant.items() if axis != sizes)
        lines.setdefault(name, []).append(row)
    for place, (name, rows) in enumerate(lines.items()):
        rows.sort(key=lambda row: int(row.variant[sizes]))
        # Side by side, so that the error bars of different lines can be told apart.
        shift = 1 + _DODGE * (place - (len(lines) - 1) / 2)
        counts = [shift * int(row.variant[sizes]) for row in rows]
        color = COLORS[place % len(COLORS)]
        panel.errorbar(
            counts,
            [row.mean for row in rows],
            yerr=[row.std or 0.0 for row in rows],
            color=color,
            marker="o",
            markersize=4,
            linewidth=1.2,
            capsize=2,
            label=name,
        )
        for count, row in zip(counts, rows, strict=True):
            if row.unconverged:
                panel.plot(count, row.mean, "o", color=color, markerfacecolor="white", zorder=3)
    if any(row.unconverged for row in table.rows):
        panel.plot([], [], "o", color="black", markerfacecolor="white", label="unconverged")
    _log_axes(panel, sorted({int(row.variant[sizes]) for row in table.rows}))
    panel.set_xlabel(sizes)
    panel.set_ylabel(table.label)
    panel.legend(frameon=False)
    panel.grid(color="#dddddd", linewidth=0.6, which="both")


def _log_axes(panel: Any, counts: Sequence[int]) -> None:
    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(counts, [str(count) for count in counts])
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.yaxis.set_major_formatter(ScalarFormatter())
    panel.yaxis.set_minor_formatter(ScalarFormatter())
