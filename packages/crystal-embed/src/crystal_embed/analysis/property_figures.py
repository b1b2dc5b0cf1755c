"""Figures of what element vectors tell about properties."""

from typing import TYPE_CHECKING, Any

import numpy as np

from crystal_embed.analysis.run import Analysis, Attribution, PropertyScores
from crystal_embed.analysis.style import COLORS, INK, SOFT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_DIMENSIONS = 10


def r2_panels(analysis: Analysis) -> "Figure":
    """R² of every table, a panel for each property and a dot for each seed."""
    from matplotlib.figure import Figure

    rows = len(analysis.tables) + len(analysis.studies)
    height = 0.9 + 0.24 * rows
    figure = Figure(figsize=(10, 2 * height), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    for panel, one in zip(panels.flat, analysis.properties, strict=True):
        _r2_panel(panel, one)
    for panel in panels[-1]:
        panel.set_xlabel("R², cross-validated")
    # Predictions can be worse than a guess without bound; what is below is drawn at the edge.
    panels[0, 0].set_xlim(-0.5, 1.03)
    panels[0, 0].set_ylim(rows - 0.5, -1.1)  # room for the paper's label
    return figure


def _r2_panel(panel: Any, one: PropertyScores) -> None:
    lines = {**one.scores, **{f"{name}, shuffled": s for name, s in one.shuffled.items()}}
    for place, (label, score) in enumerate(lines.items()):
        analysed = label in one.shuffled
        color = COLORS[0] if analysed else SOFT
        seeds = np.clip(score.by_seed, -0.49, None)
        panel.plot(seeds, [place] * len(seeds), "o", color=color, alpha=0.4, markersize=4)
        mean = max(score.mean, -0.49)
        panel.plot([mean], [place], "|", color=color, markersize=12, markeredgewidth=2.2)
    panel.axvline(0, color=INK, linewidth=0.8)
    if one.target.published_r2 is not None:
        panel.axvline(one.target.published_r2, color=COLORS[1], linestyle="--", linewidth=1)
        panel.annotate(
            f"paper {one.target.published_r2:.2f}", (one.target.published_r2, 1),
            xycoords=("data", "axes fraction"), xytext=(-3, -2), textcoords="offset points",
            ha="right", va="top", fontsize=7, color=COLORS[1],
        )  # fmt: skip
    panel.set_yticks(range(len(lines)), lines)
    panel.set_title(one.target.label)
    panel.grid(axis="x")
    panel.set_axisbelow(True)


def beeswarm(attribution: Attribution) -> "Figure":
    """SHAP values of the most important dimensions, a dot for each element."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    order = attribution.order[:SHOWN_DIMENSIONS]
    figure = Figure(figsize=(7, 1.1 + 0.36 * len(order)), layout="constrained")
    panel = figure.subplots()
    low_to_high = LinearSegmentedColormap.from_list("", [COLORS[0], "#d9dde2", COLORS[1]])
    shap = attribution.shap[:, order]
    # By rank, since a dimension's numbers mean nothing by themselves.
    rank = attribution.vectors[:, order].argsort(axis=0, kind="stable").argsort(axis=0)
    reach = max(float(np.abs(shap).max()), 1e-12)
    places = np.stack([k + _swarm(shap[:, k] / reach) for k in range(len(order))], axis=1)
    drawn = panel.scatter(
        shap.ravel(), places.ravel(), c=rank.ravel() / max(len(rank) - 1, 1), s=13,
        cmap=low_to_high, linewidths=0, vmin=0, vmax=1,
    )  # fmt: skip
    panel.axvline(0, color=INK, linewidth=0.8)
    panel.set_yticks(range(len(order)), [f"{dimension}" for dimension in order])
    panel.set_ylim(len(order) - 0.5, -0.5)
    panel.set_ylabel("dimension, from 0")
    one = attribution.target
    panel.set_xlabel(f"SHAP value: change of the prediction, {one.unit}")
    panel.set_title(one.label)
    panel.grid(axis="x")
    panel.set_axisbelow(True)
    bar = figure.colorbar(drawn, ax=panel, aspect=25, pad=0.01, label="number in this dimension")
    bar.set_ticks([0, 1], labels=["lowest", "highest"])
    bar.outline.set_visible(False)
    return figure


def _swarm(places: np.ndarray, bins: int = 60, most: float = 0.4) -> np.ndarray:
    """Steps aside of dots that would cover each other, in rows of the figure."""
    bin_of = np.round(places * bins / 2).astype(int)
    offset = np.zeros(len(places))
    for one in np.unique(bin_of):
        rows = np.flatnonzero(bin_of == one)
        # 0, +1, −1, +2, −2, … steps from the middle.
        steps = np.array([(k + 1) // 2 * (1 if k % 2 else -1) for k in range(len(rows))])
        offset[rows] = steps * min(0.09, most / max(len(rows) // 2, 1))
    return offset
