"""The targets of a model side by side: which of its outputs belong to which."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
import torch.nn.functional as F
from torch import Tensor

from crystal_data.errors import InvalidArgumentError
from crystal_data.field import Field
from crystal_data.graphs.batch import CrystalBatch


class TargetColumns:
    """Several fields as the columns of one matrix, which is how models give and losses take them.

    The matrix has a row for each crystal, or for each atom if the fields are those of atoms.

    Args:
        fields: In the order of the columns.

    Attributes:
        per_atom: Whether there is a row for each atom.
        width: Number of columns.
        places: The columns of each field.

    Raises:
        InvalidArgumentError: If some are of crystals and some of atoms.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        of_atoms = [field.name for field in fields if field.per == "atom"]
        if of_atoms and len(of_atoms) < len(fields):
            of_crystals = [field.name for field in fields if field.per == "crystal"]
            raise InvalidArgumentError(
                f"{', '.join(of_atoms)} are values of atoms and {', '.join(of_crystals)} of "
                "crystals",
                "one model predicts one kind: fit the others with a model of their own",
            )
        self.fields = tuple(fields)
        self.per_atom = bool(of_atoms)
        ends = list(accumulate(field.width for field in fields))
        self.width = ends[-1] if ends else 0
        self.places = [
            slice(end - field.width, end) for end, field in zip(ends, fields, strict=True)
        ]
        self._turning = [field.turns for field in fields]

    @property
    def first(self) -> list[int]:
        """The first column of each target."""
        return [place.start for place in self.places]

    def check_output(self, model: str, output: Tensor, batch: CrystalBatch) -> None:
        """Raises where a model did not give these columns for a batch.

        Raises:
            InvalidArgumentError: With the number of outputs that the model should have.
        """
        num_rows = batch.num_nodes if self.per_atom else batch.num_crystals
        if output.shape != (num_rows, self.width):
            rows = f"{num_rows} {'atoms' if self.per_atom else 'crystals'}"
            raise InvalidArgumentError(
                f"{model} gave {tuple(output.shape)} for {rows} and the targets "
                f"{', '.join(field.name for field in self.fields)}; expected "
                f"{(num_rows, self.width)}",
                f"set the model's number of outputs to {self.width}",
            )

    def join(self, values: Mapping[str, Tensor]) -> Tensor:
        """Labels as columns, NaN where there is none.

        A vector or tensor of which a component is missing is missing as a whole.

        Args:
            values: Name to values as ``Field`` has them.

        Returns:
            Shape ``[num_rows, width]``.

        Raises:
            InvalidArgumentError: If a target is missing, or has other numbers than its field.
        """
        parts = []
        for field in self.fields:
            if field.name not in values:
                raise InvalidArgumentError(f"the batch has no column {field.name}")
            part = values[field.name]
            if part.numel() != len(part) * field.width:
                raise InvalidArgumentError(
                    f"target '{field.name}' has the shape {tuple(part.shape)}, where a value was "
                    f"expected to have {field.width} numbers"
                )
            part = part.reshape(len(part), field.width)
            if field.turns:
                part = part.masked_fill(part.isnan().any(dim=1, keepdim=True), torch.nan)
            parts.append(part)
        return torch.cat(parts, dim=1)

    def split(self, columns: Tensor) -> dict[str, Tensor]:
        """Values of each target, as ``Field`` has them.

        Args:
            columns: Shape ``[num_rows, width]``.
        """
        parts = zip(self.fields, self.places, strict=True)
        return {
            field.name: columns[:, place] if field.shape else columns[:, place.start]
            for field, place in parts
        }

    def for_loss(self, prediction: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Columns that a loss of numbers may compare, whatever the orientation of the crystals.

        A vector or tensor becomes one column, in which the root mean square of the components of
        its error is compared with 0; the square of that is their mean squared error.

        Args:
            prediction: Shape ``[num_rows, width]``.
            label: NaN where there is none; the same shape.

        Returns:
            Prediction and label; shape ``[num_rows, len(loss_targets)]``.
        """
        if not any(self._turning):
            return prediction, label
        # What has no label differs by 0, which also keeps NaN out of the gradient.
        error = torch.where(label.isnan(), prediction.detach(), label) - prediction
        predictions, labels = [], []
        for place, turns in zip(self.places, self._turning, strict=True):
            if turns:
                size = torch.linalg.vector_norm(error[:, place], dim=1, keepdim=True)
                predictions.append(size / (place.stop - place.start) ** 0.5)
                labels.append(
                    torch.zeros_like(size).masked_fill_(
                        label[:, place].isnan().any(dim=1, keepdim=True), torch.nan
                    )
                )
            else:
                predictions.append(prediction[:, place])
                labels.append(label[:, place])
        return torch.cat(predictions, dim=1), torch.cat(labels, dim=1)

    @property
    def loss_targets(self) -> list[int]:
        """For each column of ``for_loss`` the number of its target."""
        counts = [1 if field.turns else field.width for field in self.fields]
        return [number for number, count in enumerate(counts) for _ in range(count)]

    def errors(self, prediction: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """The error of each label, and whether there is one.

        Of a number it is the absolute difference, of a spectrum its mean over those components
        that have a label, of a vector or tensor the length of the difference.

        Args:
            prediction: Shape ``[num_rows, width]``.
            label: NaN where there is none; the same shape.

        Returns:
            Errors and a mask; shape ``[num_rows, num_targets]``.
        """
        known = ~label.isnan()
        error = torch.where(known, prediction - label, 0.0)
        if self.width == len(self.fields):
            return error.abs(), known
        sizes, masks = [], []
        for place, turns in zip(self.places, self._turning, strict=True):
            part, count = error[:, place], known[:, place].sum(dim=1)
            sizes.append(
                torch.linalg.vector_norm(part, dim=1)
                if turns
                else part.abs().sum(dim=1) / count.clamp(min=1)
            )
            masks.append(count > 0)
        return torch.stack(sizes, dim=1), torch.stack(masks, dim=1)

    @property
    def spectra(self) -> dict[int, Field]:
        """Number and field of the targets that are spectra."""
        found = enumerate(self.fields)
        return {number: field for number, field in found if field.shape and not field.turns}

    def cosines(self, prediction: Tensor, label: Tensor, number: int) -> Tensor:
        """Cosine similarity of one spectrum and its label, over components that have a label.

        Args:
            prediction: Shape ``[num_rows, width]``.
            label: NaN where there is none; the same shape.
            number: Of the target.

        Returns:
            Shape ``[num_rows]``; 0 where there is no label.
        """
        place = self.places[number]
        known = ~label[:, place].isnan()
        given, expected = (
            torch.where(known, values[:, place], 0.0) for values in (prediction, label)
        )
        return F.cosine_similarity(given, expected, dim=1)
