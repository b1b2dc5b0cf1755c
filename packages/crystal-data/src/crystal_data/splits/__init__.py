"""Which rows are trained on: splits, folds, and exclusion of what evaluation sets hold."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.splits.exclusion import EvaluationSet as EvaluationSet
    from crystal_data.splits.exclusion import Exclusion as Exclusion
    from crystal_data.splits.exclusion import exclude as exclude
    from crystal_data.splits.folds import KFoldSplit as KFoldSplit
    from crystal_data.splits.leaks import CrystalSet as CrystalSet
    from crystal_data.splits.leaks import Leak as Leak
    from crystal_data.splits.leaks import find_leaks as find_leaks
    from crystal_data.splits.same_structure import MatcherOptions as MatcherOptions
    from crystal_data.splits.split import ColumnSplit as ColumnSplit
    from crystal_data.splits.split import IdSplit as IdSplit
    from crystal_data.splits.split import RatioSplit as RatioSplit
    from crystal_data.splits.split import Splitter as Splitter
    from crystal_data.splits.split import TrainWithin as TrainWithin

# Named here, loaded on first use: `--help` needs none of it.
_EXPORTS = {
    "ColumnSplit": "crystal_data.splits.split",
    "CrystalSet": "crystal_data.splits.leaks",
    "EvaluationSet": "crystal_data.splits.exclusion",
    "Exclusion": "crystal_data.splits.exclusion",
    "IdSplit": "crystal_data.splits.split",
    "KFoldSplit": "crystal_data.splits.folds",
    "Leak": "crystal_data.splits.leaks",
    "MatcherOptions": "crystal_data.splits.same_structure",
    "RatioSplit": "crystal_data.splits.split",
    "Splitter": "crystal_data.splits.split",
    "TrainWithin": "crystal_data.splits.split",
    "exclude": "crystal_data.splits.exclusion",
    "find_leaks": "crystal_data.splits.leaks",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
