"""Errors of several targets over an epoch, each in its own unit."""

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from crystal_data.field import Field
from crystal_data.training.means import EpochMetric, Measured
from crystal_data.transforms.target_columns import TargetColumns


class TargetErrors(EpochMetric):
    """Mean error of each target over the labels that exist; NaN where there is none.

    The error of a number is the absolute difference, that of a spectrum the mean over its
    components, that of a vector or tensor the length of the difference. Spectra also have a mean
    cosine similarity.

    Args:
        fields: Targets, in the order of the columns.
    """

    higher_is_better = False
    total: Tensor  # [num_targets]
    count: Tensor  # [num_targets]
    cosine: Tensor  # [num_spectra], sums

    def __init__(self, fields: Sequence[Field]) -> None:
        super().__init__()
        self._columns = TargetColumns(fields)
        zeros = torch.zeros(len(fields))
        self.add_state("total", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("count", zeros.clone(), dist_reduce_fx="sum")
        if self._columns.spectra:
            cosines = torch.zeros(len(self._columns.spectra))
            self.add_state("cosine", cosines, dist_reduce_fx="sum")

    @override
    def update(self, prediction: Tensor, label: Tensor) -> None:
        """Adds crystals, or atoms, in the targets' units; both of shape ``[num_rows, width]``."""
        prediction = prediction.detach()
        error, known = self._columns.errors(prediction, label)
        self.total += error.sum(0)
        self.count += known.sum(0)
        for place, number in enumerate(self._columns.spectra):
            self.cosine[place] += self._columns.cosines(prediction, label, number).sum()

    @override
    def compute(self) -> dict[str, Measured]:
        """``mae/<target>`` in the target's unit, and ``cosine/<target>`` of spectra."""
        errors, fields = self.total / self.count, self._columns.fields
        measured = {
            f"mae/{field.name}": Measured(errors[number], int(self.count[number]))
            for number, field in enumerate(fields)
        }
        for place, (number, field) in enumerate(self._columns.spectra.items()):
            mean = self.cosine[place] / self.count[number]
            measured[f"cosine/{field.name}"] = Measured(mean, int(self.count[number]))
        return measured
