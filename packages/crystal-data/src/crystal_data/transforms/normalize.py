"""Targets to mean 0 and deviation 1, by statistics of the training split alone."""

import math
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field

_IDENTITY = np.eye(3).ravel()


class TargetNormalizer(nn.Module):
    """Scales targets for the loss and predictions back to their own units.

    To scale and to turn the crystal are the same in either order: vectors keep their zero and
    tensors are shifted by a multiple of the identity, and all components have one scale. Spectra
    have a mean for each component and one deviation.

    Means and deviations are buffers, so a checkpoint keeps them. Until ``fit`` they are 0 and 1.

    Targets whose smallest label is exactly 0, such as band gaps, distances above a hull or
    densities, are taken for never negative: predictions below are set to 0.

    Probabilities of a class are not scaled: the outputs are logits, the labels 0 and 1.

    Args:
        fields: Targets, in the order of the columns.
        are_probabilities: Whether all targets are probabilities.

    Attributes:
        minimum: What no value of each target is below; None where nothing of the kind is known.
    """

    mean: Tensor  # [width], of each column
    std: Tensor  # [width], the same for all columns of a target

    def __init__(self, fields: Sequence[Field], *, are_probabilities: bool = False) -> None:
        super().__init__()
        self.fields = tuple(fields)
        self.are_probabilities = are_probabilities
        self.minimum: tuple[float | None, ...] = (None,) * len(self.fields)
        width = sum(field.width for field in self.fields)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def fit(self, train_targets: Mapping[str, NDArray[np.float64]]) -> Self:
        """Takes mean and deviation from the training split; missing labels (NaN) do not count.

        A target that is the same everywhere keeps a deviation of 1.

        Args:
            train_targets: Values of the training rows, by name; others are ignored.

        Raises:
            InvalidArgumentError: If a target is missing, or has no label at all, or is the
                probability of a class and has other labels than 0 and 1.
        """
        scales = [self._fitted(field, train_targets) for field in self.fields]
        labels = [np.asarray(train_targets[field.name]) for field in self.fields]
        if self.are_probabilities:
            for field, values in zip(self.fields, labels, strict=True):
                _check_classes(field, values)
            return self.take([np.zeros(field.width) for field in self.fields], [1.0] * len(labels))
        minimum = [
            0.0 if not field.turns and np.nanmin(values) == 0 else None
            for field, values in zip(self.fields, labels, strict=True)
        ]
        return self.take([mean for mean, _ in scales], [std for _, std in scales], minimum)

    def take(
        self,
        means: Sequence[NDArray[np.float64]],
        stds: Sequence[float],
        minimum: Sequence[float | None] | None = None,
    ) -> Self:
        """Takes mean and deviation of each target.

        Args:
            means: For each target one number, or one for each of its columns.
            stds: For each target one number.
            minimum: For each target one number or None; by default None for all.
        """
        self.minimum = (None,) * len(self.fields) if minimum is None else tuple(minimum)
        end = 0
        for field, mean, std in zip(self.fields, means, stds, strict=True):
            place = slice(end, end + field.width)
            self.mean[place] = torch.as_tensor(mean, dtype=self.mean.dtype)
            self.std[place] = std
            end += field.width
        return self

    def _fitted(
        self, field: Field, train_targets: Mapping[str, NDArray[np.float64]]
    ) -> tuple[NDArray[np.float64], float]:
        if field.name not in train_targets:
            raise InvalidArgumentError(
                f"the training split has no target {field.name!r}; it has {sorted(train_targets)}"
            )
        values = np.asarray(train_targets[field.name], dtype=np.float64)
        rows = values.reshape(-1, field.width)
        known = np.isfinite(rows)
        if field.turns:  # missing as a whole
            known &= known.all(axis=1, keepdims=True)
        if not known.any():
            raise InvalidArgumentError(f"target {field.name!r} has no label in the training split")
        if field.width == 1:
            labels = rows[known]
            mean = labels.mean(keepdims=True)
            std = labels.std()
        else:
            mean = _mean(field, rows, known)
            std = np.sqrt(np.square(rows - mean)[known].mean())
        # Rounding leaves a constant a deviation of about 1e-16 of its size.
        is_constant = std <= 1e-12 * max(np.abs(mean).max(), 1.0)
        return mean, 1.0 if is_constant else float(std)

    def normalize(self, values: Tensor) -> Tensor:
        """From the targets' own units; shape ``[..., width]``."""
        return (values - self.mean) / self.std

    def denormalize(self, values: Tensor) -> Tensor:
        """Back to the targets' own units; shape ``[..., width]``."""
        values = values * self.std + self.mean
        if self.are_probabilities:
            return values.sigmoid()
        if all(bound is None for bound in self.minimum):
            return values
        bounds = [
            -math.inf if bound is None else bound
            for field, bound in zip(self.fields, self.minimum, strict=True)
            for _ in range(field.width)
        ]
        return values.clamp(min=values.new_tensor(bounds))


def _check_classes(field: Field, labels: NDArray[np.float64]) -> None:
    known = labels[np.isfinite(labels)]
    if field.shape or not np.isin(known, (0.0, 1.0)).all():
        shown = f"{field.words}" if field.shape else f"values such as {known[known != 0][0]:g}"
        raise InvalidArgumentError(
            f"target '{field.name}' is to be the class of a crystal, 0 or 1, but is {shown}",
            "for a property and a threshold, wrap the source in crystal_data.ThresholdSource",
        )


def _mean(field: Field, rows: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of each column, as far as it does not depend on the crystals' orientation."""
    if field.turns_as == "vector":
        return np.zeros(field.width)
    # A component of a spectrum may have no label at all.
    mean: NDArray[np.float64] = np.where(known, rows, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    return mean @ _IDENTITY / 3 * _IDENTITY if field.turns else mean
