"""An analysis as files: numbers, figures and one page."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystal_data.io import csv_text, write_text
from crystal_data.versions import library_versions
from crystal_embed.analysis import property_figures, structure_figures
from crystal_embed.analysis.page import Picture, render, slug
from crystal_embed.analysis.run import Analysis, Score, TableStudy
from crystal_embed.analysis.style import images
from crystal_embed.tables.table import ElementTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT_VERSION = 1
_LIBRARIES = (
    "crystal-embed", "crystal-data", "numpy", "scipy", "scikit-learn", "catboost", "matplotlib",
    "elementembeddings",
)  # fmt: skip
_NUM_DIMENSIONS = 10  # in analysis.json; dimensions.csv has all


def write_analysis(
    analysis: Analysis, folder: str | Path, neighbors_of: Sequence[str] = ()
) -> Path:
    """Writes ``analysis.json``, CSV files, ``figures/`` and ``analysis.html``.

    The same analysis gives the same files.

    Args:
        analysis: What was found.
        folder: Made if need be; files of these names in it are replaced.
        neighbors_of: Elements whose neighbors the page shows first.

    Returns:
        The page.
    """
    folder = Path(folder)
    record = _record(analysis)
    write_text(folder / "analysis.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    for name, (header, rows) in _tables(analysis).items():
        write_text(folder / name, _csv(header, rows))
    pictures = [_write_figure(folder, name, alt, draw) for name, alt, draw in _figures(analysis)]
    page = folder / "analysis.html"
    write_text(page, render(analysis, record, pictures, neighbors_of))
    return page


def fingerprint(table: ElementTable) -> str:
    """SHA-256 of a table's elements and numbers, in little-endian order of bytes."""
    numbers = table.atomic_numbers.astype("<i8").tobytes()
    return hashlib.sha256(numbers + table.vectors.astype("<f4").tobytes()).hexdigest()


def _record(analysis: Analysis) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "settings": asdict(analysis.settings),
        "versions": library_versions(_LIBRARIES),
        "tables": {
            label: {
                "analyzed": label in analysis.studies,
                "name": table.name,
                "num_elements": len(table),
                "width": table.width,
                "sha256": fingerprint(table),
                "metadata": dict(table.metadata),
            }
            for label, table in analysis.tables.items()
        },
        "properties": {
            one.target.name: {
                "label": one.target.label,
                "unit": one.target.unit,
                "num_elements": len(one.symbols),
                "published_r2": one.target.published_r2,
                "r2": {label: _score(score) for label, score in one.scores.items()},
                "r2_shuffled": {label: _score(score) for label, score in one.shuffled.items()},
            }
            for one in analysis.properties
        },
        "studies": {label: _study(study) for label, study in analysis.studies.items()},
    }


def _score(score: Score) -> dict[str, Any]:
    return {"mean": score.mean, "std": score.std, "by_seed": list(score.by_seed)}


def _study(study: TableStudy) -> dict[str, Any]:
    return {
        "explained_variance": study.projection.explained.tolist(),
        "inertia": {str(count): one.inertia for count, one in study.scan.clusters.items()},
        "silhouette": {str(count): value for count, value in study.scan.silhouette.items()},
        "best_num_clusters": study.scan.best,
        "clusters": {
            str(count): study.scan.clusters[count].members() for count in study.shown_counts
        },
        "most_important_dimensions": {
            one.target.name: [
                {"dimension": int(k), "mean_abs_shap": float(one.importance[k])}
                for k in one.order[:_NUM_DIMENSIONS]
            ]
            for one in study.attributions
        },
    }


_Rows = tuple[Sequence[str], Iterable[Sequence[Any]]]


def _tables(analysis: Analysis) -> dict[str, _Rows]:
    """Contents of the CSV files."""
    studies = analysis.studies.items()
    r2 = (
        (one.target.name, label, shuffled, len(one.symbols), score.mean, score.std)
        for one in analysis.properties
        for shuffled, scores in (("no", one.scores), ("yes", one.shuffled))
        for label, score in scores.items()
    )
    clusters = (
        (label, count, symbol, place + 1)
        for label, study in studies
        for count, one in study.scan.clusters.items()
        for symbol, place in zip(one.symbols, one.labels, strict=True)
    )
    components = (
        (label, symbol, place + 1, value)
        for label, study in studies
        for symbol, row in zip(study.projection.symbols, study.projection.coords, strict=True)
        for place, value in enumerate(row.tolist())
    )
    dimensions = (
        (label, one.target.name, place + 1, int(k), float(one.importance[k]))
        for label, study in studies
        for one in study.attributions
        for place, k in enumerate(one.order)
    )
    return {
        "r2.csv": (("property", "table", "shuffled", "num_elements", "mean", "std"), r2),
        "clusters.csv": (("table", "num_clusters", "element", "cluster"), clusters),
        "neighbors.csv": (
            ("table", "element", "rank", "by_cosine", "cosine", "by_distance", "distance"),
            _neighbor_rows(analysis),
        ),
        "components.csv": (("table", "element", "component", "value"), components),
        "dimensions.csv": (
            ("table", "property", "rank", "dimension", "mean_abs_shap"), dimensions,
        ),
    }  # fmt: skip


def _neighbor_rows(analysis: Analysis) -> Iterator[Sequence[Any]]:
    for label, study in analysis.studies.items():
        for symbol, one in study.neighbors.items():
            pairs = zip(one.by_cosine, one.by_distance, strict=True)
            for place, (alike, near) in enumerate(pairs):
                yield label, symbol, place + 1, *alike, *near


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    cells = ([f"{x:.6g}" if isinstance(x, float) else x for x in row] for row in rows)
    return csv_text(header, cells)


def _figures(analysis: Analysis) -> Iterator[tuple[str, str, Callable[[], "Figure"]]]:
    """Name, text for those who do not see it, and how it is drawn."""
    yield "r2", "R² of each table for each property", partial(property_figures.r2_panels, analysis)
    for label, study in analysis.studies.items():
        name = slug(label)
        draw = structure_figures
        yield (
            f"{name}-components",
            f"Principal components of {label}",
            partial(draw.components, study),
        )
        yield f"{name}-heatmap", f"Similarity of elements in {label}", partial(draw.heatmap, study)
        yield (
            f"{name}-scan",
            f"Elbow and silhouette curves of {label}",
            partial(draw.cluster_curves, study),
        )
        for count in study.shown_counts:
            yield (
                f"{name}-clusters-{count}",
                f"{count} clusters of {label} on the periodic table",
                partial(draw.periodic_table, study.scan.clusters[count]),
            )
        for one in study.attributions:
            yield (
                f"{name}-shap-{one.target.name}",
                f"SHAP values for {one.target.label} from {label}",
                partial(property_figures.beeswarm, one),
            )


def _write_figure(folder: Path, name: str, alt: str, draw: Callable[[], "Figure"]) -> Picture:
    contents = images(draw)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for suffix, content in contents.items():
        (folder / "figures" / f"{name}.{suffix}").write_bytes(content)
    return Picture(name, alt, contents["svg"])
