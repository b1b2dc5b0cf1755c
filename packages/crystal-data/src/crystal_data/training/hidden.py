"""What is measured of hidden elements, as a whole and for each source of joined data."""

import torch
import torch.nn.functional as F
from torch import Tensor

from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.loading.datamodule import CrystalDataModule
from crystal_data.training.sums import Sums

_SOURCE = "source"


def hidden_elements(batch: CrystalBatch) -> tuple[Tensor, Tensor]:
    """Which atoms are hidden, bool ``[num_atoms]``, and their elements, int64 ``[num_hidden]``.

    Raises:
        InvalidArgumentError: If the batch does not say which are hidden.
    """
    if batch.masked_sites is None or batch.true_atomic_numbers is None:
        raise InvalidArgumentError(
            "the batch has no hidden atoms; MaskAtoms must be among its transforms"
        )
    return batch.masked_sites, batch.true_atomic_numbers[batch.masked_sites]


class HiddenElementSums:
    """Sums over hidden atoms, from which an epoch's loss and accuracy are made.

    ``element_loss`` is the cross-entropy, ``masked_accuracy`` the share of hidden atoms whose
    element is predicted right; with ``top``, ``masked_top<top>`` the share of those whose element
    is among the so many likeliest. Accuracy comes for each source too, where data are joined.

    Args:
        top: Number of likeliest elements; None leaves that out.
    """

    def __init__(self, top: int | None = None) -> None:
        self._top = top
        self._source_names: tuple[str, ...] = ()
        self._source_of_row = torch.zeros(0, dtype=torch.int64)

    def take_sources(self, data: CrystalDataModule | None) -> None:
        """Learns which row is of which source, where data have a column of that."""
        if data is not None and _SOURCE in data.store.properties:
            groups = data.groups(_SOURCE)
            self._source_names = groups.names
            self._source_of_row = torch.from_numpy(groups.of_row)

    @property
    def names(self) -> list[str]:
        """Of all sums."""
        top = [] if self._top is None else [f"masked_top{self._top}"]
        by_source = [f"masked_accuracy/{source}" for source in self._source_names]
        return ["element_loss", "masked_accuracy", *top, *by_source]

    def __call__(self, logits: Tensor, batch: CrystalBatch) -> Sums:
        """Sums of a batch.

        Args:
            logits: Of the elements from 1 on, for hidden atoms; ``[num_hidden, num_elements]``.
            batch: With hidden atoms.

        Raises:
            InvalidArgumentError: If the batch does not say which are hidden.
        """
        hidden, numbers = hidden_elements(batch)
        classes = numbers - 1
        is_right = (logits.argmax(1) == classes).to(logits.dtype)
        count = torch.ones_like(is_right).sum()
        sums = {
            "element_loss": (F.cross_entropy(logits, classes, reduction="sum"), count),
            "masked_accuracy": (is_right.sum(), count),
        }
        if self._top is not None:
            likeliest = logits.topk(self._top, dim=1).indices
            sums[f"masked_top{self._top}"] = ((likeliest == classes[:, None]).sum(), count)
        if self._source_names:
            # No buffer: it belongs to the data, and averages of the weights would copy it.
            self._source_of_row = self._source_of_row.to(batch.sample_id.device)
            source = self._source_of_row[batch.sample_id][batch.batch[hidden]]
            zeros = is_right.new_zeros(len(self._source_names))
            right = zeros.index_add(0, source, is_right)
            counts = zeros.index_add(0, source, torch.ones_like(is_right))
            for place, name in enumerate(self._source_names):
                sums[f"masked_accuracy/{name}"] = right[place], counts[place]
        return sums
