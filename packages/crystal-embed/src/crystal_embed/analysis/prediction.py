"""How well element vectors tell the properties of elements, and by which of their dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from catboost import CatBoostRegressor

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Regressor:
    """Boosted trees, small enough for a hundred elements.

    Args:
        num_iterations: Trees.
        num_threads: Of the CPU.
    """

    num_iterations: int = 200
    num_threads: int = 1

    def fit(self, vectors: Values, values: Values, seed: int) -> "CatBoostRegressor":
        """A model of ``values [num_elements]`` from ``vectors [num_elements, width]``."""
        from catboost import CatBoostRegressor

        model = CatBoostRegressor(
            iterations=self.num_iterations,
            depth=4,
            learning_rate=0.1,
            # Of wide vectors a share of the dimensions is looked at for a split: faster, no worse.
            rsm=min(1.0, max(0.2, 32 / vectors.shape[1])),
            border_count=32,
            random_seed=seed,
            thread_count=self.num_threads,
            verbose=False,
            allow_writing_files=False,
        )
        return model.fit(vectors, values)


def cross_validated_r2(
    regressor: Regressor, vectors: Values, values: Values, *, seed: int, num_folds: int,
    shuffle: bool = False,
) -> float:  # fmt: skip
    """R² of predictions for elements that the model has not seen.

    Every element is predicted once, by the model of the folds that do not hold it, and R² is
    1 − Σ(y − ŷ)² / Σ(y − ȳ)² of all these predictions together: over a single fold's few elements
    it would be a lottery.

    Args:
        regressor: What is fitted.
        vectors: Shape ``[num_elements, width]``.
        values: Shape ``[num_elements]``.
        seed: Of the folds, of the trees, and of the shuffling.
        num_folds: Of about equal size.
        shuffle: Whether the values are permuted between the elements first, a control that
            leaves nothing to be found.
    """
    rng = np.random.default_rng(seed)
    folds = np.array_split(rng.permutation(len(values)), num_folds)
    if shuffle:
        values = rng.permutation(values)
    predicted = np.empty_like(values)
    for held_out in folds:
        train = np.setdiff1d(np.arange(len(values)), held_out)
        model = regressor.fit(vectors[train], values[train], seed)
        predicted[held_out] = model.predict(vectors[held_out])
    return float(1 - ((values - predicted) ** 2).sum() / ((values - values.mean()) ** 2).sum())


def shap_values(
    regressor: Regressor, vectors: Values, values: Values, seeds: Sequence[int]
) -> Values:
    """What each dimension adds to the prediction of each element.

    Models are fitted to all elements, one for each seed, and their values averaged, because a
    single model chooses among dimensions that say the same by chance.

    Returns:
        Shape ``[num_elements, width]``, in the unit of the values.

    Source:
        Lundberg and Lee, NeurIPS 2017, as CatBoost computes them for its trees.
    """
    from catboost import Pool

    pool = Pool(vectors)
    total = np.zeros_like(vectors)
    for seed in seeds:
        model = regressor.fit(vectors, values, seed)
        # The last column is the mean prediction.
        total += model.get_feature_importance(pool, type="ShapValues", thread_count=1)[:, :-1]
    return total / len(seeds)
