"""Draws gains of element tables against the number of labels, with their intervals as bands.

    python benchmarks/element_search_figure.py

Reads ``results/element-search.json``: a panel for each task and back-end, a line for each table.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from measuring import RESULTS

#: Arms of the record, and how they are named and drawn.
ARMS = {
    "labelled": ("uae:universal", "tab:blue"),
    "unlabelled": ("the same before it saw labels", "tab:green"),
    "permuted": ("uae:universal, permuted between elements", "tab:red"),
}
LIMITS = (-75, 40)  # %


def draw(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """One panel."""
    for arm, (name, color) in ARMS.items():
        found = sorted((row for row in rows if row["arm"] == arm), key=lambda row: row["labels"])
        labels = [row["labels"] for row in found]
        low, middle, high = (
            [100 * row["gain"][key] for row in found] for key in ("low", "estimate", "high")
        )
        axes.plot(labels, middle, "o-", color=color, label=name, markersize=4)
        axes.vlines(labels, low, high, color=color, linewidth=1)
        axes.fill_between(labels, low, high, color=color, alpha=0.15, linewidth=0)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    numbers = sorted({row["labels"] for row in rows})
    axes.set_xticks(numbers, [f"{number:,}" for number in numbers], minor=False)
    axes.set_xticks([], minor=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS / "element-search.svg")
    args = parser.parse_args()
    mpl.rcParams["svg.hashsalt"] = "element-search"
    content = json.loads((RESULTS / "element-search.json").read_text(encoding="utf-8"))
    panels = defaultdict(list)
    for row in content["rows"]:
        if row["gain"] is not None and row["arm"] in ARMS:
            panels[row["back_end"], row["task"]].append(row)
    # A curve has two points at least.
    panels = {key: rows for key, rows in panels.items() if len({r["labels"] for r in rows}) > 1}
    back_ends = list(dict.fromkeys(back_end for back_end, _ in panels))
    tasks = list(dict.fromkeys(task for _, task in panels))
    figure, grid = plt.subplots(
        len(back_ends),
        len(tasks),
        figsize=(3 * len(tasks), 3 * len(back_ends)),
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    for back_end, line in zip(back_ends, grid, strict=True):
        for task, axes in zip(tasks, line, strict=True):
            if (back_end, task) not in panels:
                axes.set_visible(False)
                continue
            draw(axes, panels[back_end, task])
            axes.set_title(f"{back_end}, {task}", fontsize=9)
        line[0].set_ylabel("less error than atom_init, %")
    grid[0][0].set_ylim(*LIMITS)
    for axes in grid.flat:
        axes.set_xlabel("labels")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(args.out, metadata={"Date": None})


if __name__ == "__main__":
    main()
