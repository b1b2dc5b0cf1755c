"""The whole analysis of element tables, as values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import InvalidArgumentError
from crystal_embed.analysis.clusters import ClusterScan, scan_clusters
from crystal_embed.analysis.neighbors import Neighbors, nearest
from crystal_embed.analysis.prediction import Regressor, cross_validated_r2, shap_values
from crystal_embed.analysis.projection import Projection, project
from crystal_embed.analysis.properties import ElementProperty, element_properties
from crystal_embed.tables.table import ElementTable

PAPER_CLUSTERS = 3  # what the published embedding fell into


@dataclass(frozen=True)
class AnalysisSettings:
    """How much is computed.

    Args:
        seed: The first one.
        num_seeds: Repetitions of the cross-validation, each with other folds and trees.
        num_folds: Of the cross-validation.
        num_iterations: Trees of each CatBoost model.
        num_threads: For CatBoost.

    Raises:
        InvalidArgumentError: If there are no seeds or fewer than two folds.
    """

    seed: int = 0
    num_seeds: int = 5
    num_folds: int = 5
    num_iterations: int = 200
    num_threads: int = 1

    def __post_init__(self) -> None:
        if self.num_seeds < 1 or self.num_folds < 2:
            raise InvalidArgumentError(
                f"{self.num_seeds} seeds and {self.num_folds} folds; at least 1 and 2 are needed"
            )

    @property
    def seeds(self) -> range:
        """All seeds."""
        return range(self.seed, self.seed + self.num_seeds)


@dataclass(frozen=True)
class Score:
    """R² of one table for one property, by seed."""

    by_seed: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.by_seed))

    @property
    def std(self) -> float:
        """Of the sample of seeds; 0 for a single one."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else 0.0


@dataclass(frozen=True)
class PropertyScores:
    """What one property can be read off from.

    Args:
        target: Which.
        symbols: Elements that have a value and stand in every table.
        scores: By label of the table.
        shuffled: The same with permuted values, for the tables that are analysed.
    """

    target: ElementProperty
    symbols: tuple[str, ...]
    scores: Mapping[str, Score]
    shuffled: Mapping[str, Score]


@dataclass(frozen=True)
class Attribution:
    """Which dimensions a property is read off from.

    Args:
        target: Which.
        symbols: Elements with a value.
        vectors: Theirs; shape ``[num_elements, width]``.
        shap: SHAP values, in the property's unit; same shape.
    """

    target: ElementProperty
    symbols: tuple[str, ...]
    vectors: NDArray[np.float64]
    shap: NDArray[np.float64]

    @property
    def importance(self) -> NDArray[np.float64]:
        """Mean size of the SHAP values of each dimension; shape ``[width]``."""
        return np.asarray(np.abs(self.shap).mean(axis=0))

    @property
    def order(self) -> NDArray[np.int64]:
        """Dimensions, counted from 0, the most important first; shape ``[width]``."""
        return np.argsort(-self.importance, kind="stable")


@dataclass(frozen=True)
class TableStudy:
    """All about one table but its scores."""

    table: ElementTable
    projection: Projection
    scan: ClusterScan
    neighbors: Mapping[str, Neighbors]
    attributions: tuple[Attribution, ...]

    @property
    def shown_counts(self) -> list[int]:
        """Numbers of clusters to be shown: the best one and the paper's."""
        counts = dict.fromkeys((self.scan.best, PAPER_CLUSTERS))
        return [count for count in counts if count in self.scan.clusters]


@dataclass(frozen=True)
class Analysis:
    """What was found out.

    Args:
        settings: How.
        tables: Every table by its label, the analysed ones first.
        studies: The analysed ones, by label.
        properties: Scores of all tables.
    """

    settings: AnalysisSettings
    tables: Mapping[str, ElementTable]
    studies: Mapping[str, TableStudy]
    properties: tuple[PropertyScores, ...]


def analyze(
    tables: Mapping[str, ElementTable],
    compare: Mapping[str, ElementTable] | None = None,
    settings: AnalysisSettings | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Analysis:
    """Analyses element tables.

    Args:
        tables: Those of interest, by a label for readers.
        compare: Others, of which only the R² beside theirs is wanted.
        settings: How much is computed.
        on_step: Called with the name of each step before it begins.

    Raises:
        InvalidArgumentError: If the tables have too few elements in common for the
            cross-validation.
    """
    settings = settings or AnalysisSettings()
    trained = {label: one.trained() for label, one in {**tables, **(compare or {})}.items()}
    common = set.intersection(*(set(one.symbols) for one in trained.values()))
    regressor = Regressor(settings.num_iterations, settings.num_threads)
    known = element_properties()
    studies = {}
    for label in tables:
        on_step(f"{label}: components, clusters, neighbors, SHAP values")
        studies[label] = _study(trained[label], known, regressor, settings)
    scored = []
    for one in known:
        on_step(f"{one.label} from {len(trained)} tables")
        scored.append(_scores(one, trained, list(tables), common, regressor, settings))
    return Analysis(settings, trained, studies, tuple(scored))


def _study(
    table: ElementTable,
    known: tuple[ElementProperty, ...],
    regressor: Regressor,
    settings: AnalysisSettings,
) -> TableStudy:
    projection = project(table)
    attributions = []
    for one in known:
        symbols = tuple(symbol for symbol in table.symbols if symbol in one.values)
        vectors, values = _numbers(table, symbols, one)
        shap = shap_values(regressor, vectors, values, settings.seeds)
        attributions.append(Attribution(one, symbols, vectors, shap))
    return TableStudy(
        table,
        projection,
        scan_clusters(projection, settings.seed),
        nearest(projection),
        tuple(attributions),
    )


def _scores(
    wanted: ElementProperty,
    tables: Mapping[str, ElementTable],
    analysed: list[str],
    common: set[str],
    regressor: Regressor,
    settings: AnalysisSettings,
) -> PropertyScores:
    symbols = tuple(symbol for symbol in wanted.values if symbol in common)
    if len(symbols) < 2 * settings.num_folds:
        raise InvalidArgumentError(
            f"{', '.join(tables)}: only {len(symbols)} elements with a known {wanted.label} stand "
            f"in all of these tables; {settings.num_folds} folds need {2 * settings.num_folds}"
        )

    def score(label: str, *, shuffle: bool) -> Score:
        vectors, values = _numbers(tables[label], symbols, wanted)
        one = partial(
            cross_validated_r2, regressor, vectors, values, num_folds=settings.num_folds,
            shuffle=shuffle,
        )  # fmt: skip
        return Score(tuple(one(seed=seed) for seed in settings.seeds))

    return PropertyScores(
        wanted,
        symbols,
        {label: score(label, shuffle=False) for label in tables},
        {label: score(label, shuffle=True) for label in analysed},
    )


def _numbers(
    table: ElementTable, symbols: tuple[str, ...], wanted: ElementProperty
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    vectors = np.array([table.vector(symbol) for symbol in symbols], dtype=np.float64)
    return vectors, np.array([wanted.values[symbol] for symbol in symbols])
