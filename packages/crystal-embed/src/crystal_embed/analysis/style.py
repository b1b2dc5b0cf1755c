"""How figures look: light, in few colors that color-blind readers tell apart."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Those of all reports.
COLORS = ("#0a6ebd", "#d55e00", "#00875f", "#a3459b", "#8a6d00", "#2b8fa3", "#b3324b", "#66717f")
# Twelve clusters need more; they also carry numbers.
CLUSTER_COLORS = (*COLORS, "#1b1f24", "#5e8c00", "#5b3fa0", "#a0522d")
INK, SOFT, FAINT = "#1b1f24", "#5b6470", "#e4e7eb"


@contextmanager
def drawing() -> Iterator[None]:
    """Settings under which the same numbers give the same files."""
    from matplotlib import rc_context

    with rc_context(
        {
            "svg.fonttype": "none",  # text stays text
            "svg.hashsalt": "crystal-embed analyze",
            "font.size": 9,
            "text.color": INK,
            "axes.edgecolor": SOFT,
            "axes.labelcolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.titlesize": 10,
            "xtick.color": SOFT,
            "ytick.color": SOFT,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "grid.color": FAINT,
            "grid.linewidth": 0.6,
        }
    ):
        yield


def images(draw: Callable[[], "Figure"]) -> dict[str, bytes]:
    """A figure as the contents of a ``.svg`` and a ``.png`` file."""
    with drawing():
        figure = draw()
        found = {}
        for suffix, options in (("svg", {"metadata": {"Date": None}}), ("png", {"dpi": 150})):
            content = io.BytesIO()
            figure.savefig(content, format=suffix, facecolor="white", **options)
            found[suffix] = content.getvalue()
    return found
