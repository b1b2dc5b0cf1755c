"""Rows of a table that are looked up and summed many times a step, by sorted places."""

import functools
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


class Rows(NamedTuple):
    """Which row of a table each of many places has, sorted once so that sums are quick.

    Places of one row stand together in ``order``: a sum reads each value once and writes each row
    once, in the same order every time. ``index_add`` takes several times as long on a CPU.
    """

    row: Tensor  # int64 [num_places], the row of each
    order: Tensor  # int64 [num_places], the places row by row
    offsets: Tensor  # int64 [num_rows + 1], where each row begins in order, and the end

    @classmethod
    def of(cls, row: Tensor, num_rows: int) -> Self:
        """Sorts places by their row; int64 ``[num_places]``."""
        sorted_row, order = row.sort(stable=True)
        bounds = torch.arange(num_rows + 1, device=row.device)
        return cls(row, order, torch.searchsorted(sorted_row, bounds))

    def take(self, table: Tensor) -> Tensor:
        """Row of each place, as a constant; ``[num_rows, width]`` to ``[num_places, width]``."""
        return table.index_select(0, self.row)

    def total(self, values: Tensor) -> Tensor:
        """Sum over the places of each row, as a constant: the reverse of :meth:`take`."""
        if len(self.row) == 0:
            return values.new_zeros(len(self.offsets) - 1, values.shape[1])
        return F.embedding_bag(
            self.order, values, self.offsets, mode="sum", include_last_offset=True
        )


def sum_of_rows(tables: Sequence[Tensor], rows: Sequence[Rows]) -> Tensor:
    """Sum of what each table has for each place, as a constant; ``[num_places, width]``."""
    if len(tables) == 1 or len(rows[0].row) == 0:
        return rows[0].take(tables[0])
    if torch.compiler.is_compiling():  # which joins these look-ups with what comes after them
        return functools.reduce(torch.add, map(Rows.take, rows, tables))
    starts = accumulate((len(table) for table in tables[:-1]), initial=0)
    places = [one.row + start for one, start in zip(rows, starts, strict=True)]
    return F.embedding_bag(torch.stack(places, dim=1), torch.cat(list(tables)), mode="sum")


def look_up(*pairs: tuple[Tensor, Rows]) -> Tensor:
    """Sum of the rows that each place has in several tables, differentiable, in one pass.

    Args:
        pairs: Tables ``[num_rows, width]`` and the rows of the same places in each.

    Returns:
        Shape ``[num_places, width]``.
    """
    return _LookUp.apply(*(tensor for table, rows in pairs for tensor in (table, *rows)))


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        rows = [Rows(*tensors[i + 1 : i + 4]) for i in range(0, len(tensors), 4)]
        ctx.save_for_backward(*(tensor for one in rows for tensor in one))
        return sum_of_rows(tensors[::4], rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        rows = [Rows(*saved[i : i + 3]) for i in range(0, len(saved), 3)]
        totals = [(one.total(gradients[0]), None, None, None) for one in rows]
        return tuple(value for total in totals for value in total)
