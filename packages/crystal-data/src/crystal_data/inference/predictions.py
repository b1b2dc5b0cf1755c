"""What predicting gives: values of each target, and which crystals they are of."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray


class Predictions(dict[str, NDArray[np.float64]]):
    """Target to values, in the order of the crystals.

    Args:
        values: Of each target.
        ids: Identifier of each crystal; of a crystal in a file, the file's name or what the file
            calls it.
    """

    def __init__(self, values: Mapping[str, NDArray[np.float64]], ids: Iterable[str]) -> None:
        super().__init__(values)
        self.ids = tuple(ids)
