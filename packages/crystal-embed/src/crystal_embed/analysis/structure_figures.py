"""Figures of how elements lie among each other."""

from typing import TYPE_CHECKING, Any

import numpy as np

from crystal_data import SYMBOLS
from crystal_embed.analysis.clusters import Clusters, tree
from crystal_embed.analysis.layout import pushed_apart, table_position
from crystal_embed.analysis.neighbors import similarity
from crystal_embed.analysis.run import TableStudy
from crystal_embed.analysis.style import CLUSTER_COLORS, COLORS, FAINT, INK, SOFT

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def components(study: TableStudy) -> "Figure":
    """Explained variance, and the elements in the plane of the first two components."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    explained = 100 * study.projection.explained
    places = np.arange(1, len(explained) + 1)
    left.bar(places, explained, color=COLORS[0], label="each")
    left.plot(places, explained.cumsum(), color=COLORS[1], marker="o", markersize=3, label="sum")
    left.set(xlabel="principal component", ylabel="explained variance, %", ylim=(0, 103))
    left.set_title(f"{explained.sum():.0f} % in {len(explained)} components")
    left.grid(axis="y")
    left.set_axisbelow(True)
    left.legend(frameon=False, loc="center right")
    _element_map(right, study)
    return figure


def _element_map(panel: Any, study: TableStudy) -> None:
    coords, shares = study.projection.plane
    low, span = coords.min(axis=0), np.maximum(np.ptp(coords, axis=0), 1e-12)
    # In units of the panel, in which a symbol's box has a known size.
    places = low + span * pushed_apart((coords - low) / span, np.array([0.032, 0.034]))
    clusters = study.scan.clusters[study.scan.best]
    for (x, y), symbol, label in zip(places, clusters.symbols, clusters.labels, strict=True):
        panel.text(
            x, y, symbol, ha="center", va="center", fontsize=8, fontweight="bold",
            color=CLUSTER_COLORS[label],
        )  # fmt: skip
    for limits, (first, last) in (
        (panel.set_xlim, (places[:, 0].min(), places[:, 0].max())),
        (panel.set_ylim, (places[:, 1].min(), places[:, 1].max())),
    ):
        room = 0.04 * max(last - first, 1e-12)
        limits(first - room, last + room)
    panel.set_xlabel(f"first component ({100 * shares[0]:.0f} %)")
    panel.set_ylabel(f"second component ({100 * shares[1]:.0f} %)")
    panel.set_title(f"elements, colored by {study.scan.best} clusters")
    panel.grid()
    panel.set_axisbelow(True)


def cluster_curves(study: TableStudy) -> "Figure":
    """Inertia and silhouette over the number of clusters."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    scan = study.scan
    inertia = {count: one.inertia for count, one in scan.clusters.items()}
    for panel, values, label in (
        (left, inertia, "inertia (squared distance to centres)"),
        (right, dict(scan.silhouette), "mean silhouette"),
    ):
        panel.plot(list(values), list(values.values()), color=COLORS[0], marker="o", markersize=4)
        panel.axvline(scan.best, color=COLORS[1], linestyle="--", linewidth=1)
        panel.set(xlabel="number of clusters", ylabel=label)
        panel.set_xticks(list(inertia))
        panel.set_ylim(0 if panel is left else None, None)
        panel.grid()
    left.set_title("elbow")
    right.set_title(f"silhouette, largest for {scan.best}")
    return figure


def periodic_table(clusters: Clusters) -> "Figure":
    """Clusters on the periodic table, by color and number."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(10, 5.6), layout="constrained")
    panel = figure.subplots()
    label_of = dict(zip(clusters.symbols, clusters.labels, strict=True))
    for z, symbol in enumerate(SYMBOLS):
        if not z:
            continue
        line, column = table_position(symbol)
        row = line - 0.6 * (line > 7)  # the f block stands closer
        label = label_of.get(symbol)
        color = FAINT if label is None else CLUSTER_COLORS[label]
        ink = SOFT if label is None else "white"
        panel.add_patch(Rectangle((column, row), 0.94, 0.94, color=color, linewidth=0))
        panel.text(column + 0.06, row + 0.08, str(z), fontsize=6, color=ink, va="top")
        panel.text(
            column + 0.47, row + 0.55, symbol, fontsize=11, color=ink, ha="center", va="center",
            fontweight="normal" if label is None else "bold",
        )  # fmt: skip
        if label is not None:
            panel.text(
                column + 0.88, row + 0.08, str(label + 1), fontsize=6, color=ink, ha="right",
                va="top", fontweight="bold",
            )  # fmt: skip
    _key(panel, clusters)
    panel.set(xlim=(0.9, 19.05), ylim=(10.5, 0.9), aspect="equal")
    panel.axis("off")
    return figure


def _key(panel: Any, clusters: Clusters) -> None:
    """Cluster numbers and sizes, in the gap above the d block."""
    from matplotlib.patches import Rectangle

    for label, members in enumerate(clusters.members()):
        column, row = 3.4 + 2.5 * (label % 4), 1.0 + 0.72 * (label // 4)
        color = CLUSTER_COLORS[label]
        panel.add_patch(Rectangle((column, row), 0.5, 0.5, color=color, linewidth=0))
        panel.text(
            column + 0.25, row + 0.26, str(label + 1), fontsize=8, color="white", ha="center",
            va="center", fontweight="bold",
        )  # fmt: skip
        many = "element" if len(members) == 1 else "elements"
        panel.text(column + 0.6, row + 0.26, f"{len(members)} {many}", fontsize=8, va="center")


def heatmap(study: TableStudy) -> "Figure":
    """Cosine similarity of all pairs of elements, ordered by their hierarchy."""
    from matplotlib.figure import Figure
    from scipy.cluster.hierarchy import dendrogram

    joined = tree(study.projection)
    drawn = dendrogram(joined, no_plot=True)
    order = drawn["leaves"]
    symbols = [study.projection.symbols[k] for k in order]
    alike = similarity(study.projection)[np.ix_(order, order)]
    figure = Figure(figsize=(9.4, 10), layout="constrained")
    top, main = figure.subplots(2, 1, height_ratios=(1, 7))
    for xs, ys in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        # SciPy puts leaf k at 5 + 10 k.
        top.plot((np.array(xs) - 5) / 10, ys, color=SOFT, linewidth=0.8)
    top.set_xlim(-0.5, len(order) - 0.5)
    top.set_ylim(0, None)
    top.set_xticks([])
    top.set_ylabel("1 − cosine")
    top.spines["bottom"].set_visible(False)
    size = min(8.0, 600 / len(order))  # pt; a cell is about as large
    drawn_map = main.imshow(alike, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    main.set_xticks(range(len(order)), symbols, fontsize=size, rotation=90)
    main.set_yticks(range(len(order)), symbols, fontsize=size)
    main.tick_params(length=0, pad=2, labelcolor=INK)
    main.spines[:].set_visible(False)
    figure.colorbar(
        drawn_map, ax=main, label="cosine similarity", location="bottom", shrink=0.4, aspect=30
    )
    return figure
