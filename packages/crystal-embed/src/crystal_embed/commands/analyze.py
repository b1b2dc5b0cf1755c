"""`crystal-embed analyze`: what element vectors know."""

import argparse
import re
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TYPE_CHECKING

from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import report_errors

if TYPE_CHECKING:
    from rich.table import Table

    from crystal_embed.analysis.run import Analysis, Score
    from crystal_embed.tables.table import ElementTable

_EXTRA = {"catboost": "catboost", "jinja2": "jinja2", "matplotlib": "matplotlib",
          "sklearn": "scikit-learn"}  # fmt: skip


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    _check_extra()
    from rich.console import Console

    from crystal_embed.analysis.run import AnalysisSettings, analyze
    from crystal_embed.analysis.write import write_analysis

    settings = AnalysisSettings(seed=arguments.seed, num_threads=arguments.threads)
    tables = _labelled(arguments.tables)
    compared = arguments.compare
    if compared is None:
        compared = ["atom_init", "random:128", f"permuted:0:{arguments.tables[0]}"]
    compare = _labelled([name for name in compared if name not in arguments.tables])
    _check_elements(arguments.neighbors_of, tables)
    console = Console()
    with console.status("") as status:
        analysis = analyze(tables, compare, settings, on_step=status.update)
        status.update("figures and page")
        page = write_analysis(analysis, arguments.output, arguments.neighbors_of)
    console.print(_score_table(analysis))
    for label, study in analysis.studies.items():
        explained = 100 * study.projection.explained
        console.print(
            f"{label}: {explained.sum():.0f} % of the variance in {len(explained)} components; "
            f"silhouette {study.scan.silhouette[study.scan.best]:.2f} for {study.scan.best} "
            "clusters, its largest",
            highlight=False,
        )
    if arguments.neighbors_of:
        console.print(_neighbor_table(analysis, arguments.neighbors_of))
    print(page)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("crystal-embed analyze", description=__doc__)
    parser.add_argument(
        "tables",
        nargs="+",
        metavar="TABLE",
        help="an artifact or a run's folder, a hub id, a table file, or a name such as "
        "elements:mat2vec",
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where files go")
    parser.add_argument(
        "--compare",
        nargs="*",
        metavar="TABLE",
        help="tables of which only the R² beside the others' is wanted (default: atom_init, "
        "random:128, and the first TABLE with its rows permuted)",
    )
    parser.add_argument(
        "--neighbors-of", nargs="+", default=[], metavar="ELEMENT", help="show their neighbors"
    )
    parser.add_argument("--seed", type=int, default=0, help="the first seed (default: %(default)s)")
    parser.add_argument(
        "--threads", type=int, default=1, help="for CatBoost (default: %(default)s)"
    )
    return parser


def _check_extra() -> None:
    missing = [library for module, library in _EXTRA.items() if find_spec(module) is None]
    if missing:
        raise InvalidArgumentError(
            f"crystal-embed analyze needs {', '.join(missing)}",
            "pip install 'crystal-embed[analysis]'",
        )


def _labelled(names: Sequence[str]) -> "dict[str, ElementTable]":
    """Tables by their names, without folders where these still tell them apart."""
    from crystal_embed.tables.load import load_table

    short = [_short(name) for name in names]
    labels = [
        one if short.count(one) == 1 else name for one, name in zip(short, names, strict=True)
    ]
    return {label: load_table(name) for label, name in zip(labels, names, strict=True)}


def _short(name: str) -> str:
    without_folders = re.sub(r"[^:,]*/", "", re.sub(r"/(artifact/?)?(?=$|,)", "", name))
    return without_folders or name


def _check_elements(symbols: Sequence[str], tables: "dict[str, ElementTable]") -> None:
    known = sorted({symbol for table in tables.values() for symbol in table.trained().symbols})
    for symbol in symbols:
        if symbol not in known:
            near = get_close_matches(symbol.capitalize(), known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InvalidArgumentError(
                f"--neighbors-of {symbol}: no trained element of a TABLE{hint}"
            )


def _score_table(analysis: "Analysis") -> "Table":
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    settings = analysis.settings
    shown = Table(
        title=f"R², {settings.num_folds}-fold cross-validation, mean ± std over "
        f"{settings.num_seeds} seeds",
        box=SIMPLE,
    )
    shown.add_column("property")
    for label in [*analysis.tables, *(f"{label}, shuffled" for label in analysis.studies)]:
        shown.add_column(escape(label), justify="right")
    shown.add_column("paper", justify="right")
    for one in analysis.properties:
        scores = [*one.scores.values(), *one.shuffled.values()]
        paper = "" if one.target.published_r2 is None else f"{one.target.published_r2:.3f}"
        shown.add_row(one.target.label, *map(_text, scores), paper)
    return shown


def _text(score: "Score") -> str:
    return f"{score.mean:.3f} ± {score.std:.3f}"


def _neighbor_table(analysis: "Analysis", symbols: Sequence[str]) -> "Table":
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    shown = Table(title="nearest elements", box=SIMPLE)
    for heading in ("table", "element", "by cosine", "by distance"):
        shown.add_column(heading)
    for label, study in analysis.studies.items():
        for symbol in symbols:
            if one := study.neighbors.get(symbol):
                pairs = (one.by_cosine, one.by_distance)
                texts = [", ".join(f"{s} {value:.2f}" for s, value in pair) for pair in pairs]
                shown.add_row(escape(label), symbol, *texts)
    return shown
