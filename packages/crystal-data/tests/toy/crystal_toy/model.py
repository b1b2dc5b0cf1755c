import torch
from torch import Tensor, nn

from crystal_data.artifacts import PretrainedModel
from crystal_data.graphs.batch import CrystalBatch


class ElementSum(PretrainedModel):
    """A number per element, averaged over the atoms: linear in the composition.

    Args:
        hidden_size: Width of the element vectors.
        num_outputs: Properties.
    """

    graph_spec = None

    def __init__(self, hidden_size: int = 8, num_outputs: int = 1) -> None:
        super().__init__()
        self.table = nn.Embedding(119, hidden_size)
        self.head = nn.Linear(hidden_size, num_outputs)

    def forward(self, batch: CrystalBatch) -> Tensor:
        atoms = self.table(batch.atomic_numbers)
        sums = torch.zeros(batch.num_crystals, atoms.shape[1]).to(atoms)
        sums = sums.index_add(0, batch.batch, atoms)
        return self.head(sums / batch.num_atoms[:, None])
