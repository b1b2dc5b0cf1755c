"""A readout of any number of vectors by attention."""

import torch
from torch import Tensor, nn
from typing_extensions import override


class Set2Set(nn.Module):
    """Reads a set several times, each time with a query that depends on what was read before.

    What is read is a mean, weighted by a softmax over the set, so that listing each member twice
    changes nothing. Of an empty set zeros are read.

    Args:
        width: Length of a member's vector.
        query_width: Length of the queries, and of what is read.
        num_steps: How many times the set is read.

    Source:
        Vinyals, Bengio and Kudlur, ICLR 2016, section 4.2; members are brought to ``query_width``
        by a linear layer, as in the public code of Chen et al., Chem. Mater. 31, 3564 (2019).
    """

    def __init__(self, width: int, query_width: int, num_steps: int) -> None:
        super().__init__()
        self._num_steps = num_steps
        self.memory = nn.Linear(width, query_width)
        self.lstm = nn.LSTMCell(2 * query_width, query_width)

    @property
    def num_features(self) -> int:
        """Length of a set's vector: the last query and what it read."""
        return 2 * self.memory.out_features

    @override
    def forward(
        self, members: Tensor, owner: Tensor, num_sets: int, count: Tensor | None = None
    ) -> Tensor:
        """Reads sets that lie end to end or mixed.

        Args:
            members: Shape ``[num_members, width]``.
            owner: Set of each member; int64 ``[num_members]``.
            num_sets: How many sets there are, empty ones too.
            count: How often each member is there, by default once; shape ``[num_members]``.

        Returns:
            Shape ``[num_sets, 2 * query_width]``.
        """
        memory = self.memory(members)
        query = cell = memory.new_zeros(num_sets, memory.shape[1])
        joined = torch.cat([query, query], dim=1)
        for _ in range(self._num_steps):
            query, cell = self.lstm(joined, (query, cell))
            score = (memory * query.to(memory.dtype).index_select(0, owner)).sum(dim=1)
            weight, total = _softmax_parts(score, owner, num_sets, count)
            read = weight.new_zeros(num_sets, memory.shape[1])
            read = read.index_add(0, owner, memory.to(weight.dtype) * weight[:, None])
            joined = torch.cat([query, (read / total[:, None]).to(query.dtype)], dim=1)
        return joined


def _softmax_parts(
    score: Tensor, owner: Tensor, num_sets: int, count: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Numerator of each member and denominator of each set of a softmax within sets."""
    score = score.to(torch.promote_types(score.dtype, torch.float32))
    with torch.no_grad():
        # The largest of a set, against overflow; it cancels, so that it needs no gradient.
        largest = score.new_zeros(num_sets).scatter_reduce(
            0, owner, score, "amax", include_self=False
        )
    weight = torch.exp(score - largest.index_select(0, owner))
    if count is not None:
        weight = weight * count
    total = weight.new_zeros(num_sets).index_add(0, owner, weight)
    # A set's largest weight is 1 or more, so that only an empty set is below a half; a bound of 1
    # itself would take the gradient from sets of one member.
    return weight, total.clamp(min=0.5)
