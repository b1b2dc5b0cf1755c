"""Random numbers by counter: a draw depends on what it is for, never on who draws it or when."""

import hashlib
from copy import copy
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd


class SampleRandom:
    """Draws for the samples of a batch.

    Each number is a hash of (seed, epoch, sample id, stream, atom, component). So it is the same on
    any rank and worker, in any batch, and whatever else was drawn before. Draws with two stream
    names are independent; the same name gives the same numbers again.

    Args:
        seed: Of the run.
        epoch: So that each epoch differs.
        sample_id: The store's row of each crystal; ``[num_crystals]``.

    Source:
        The mixing function is that of SplitMix64: Steele, Lea and Flood, OOPSLA 2014.
    """

    def __init__(self, seed: int, epoch: int, sample_id: Tensor | ArrayLike) -> None:
        self.seed = seed
        self.epoch = epoch
        rows = sample_id.cpu() if isinstance(sample_id, Tensor) else sample_id
        self._rows = np.asarray(rows, dtype=np.int64).astype(np.uint64)

    def in_epoch(self, epoch: int) -> Self:
        """Independent draws for the same samples."""
        other = copy(self)
        other.epoch = epoch
        return other

    def uniform(
        self, stream: str, size: int | None = None, num_atoms: Tensor | None = None
    ) -> Tensor:
        """Uniform on [0, 1); float64.

        Args:
            stream: Names the purpose, such as ``"rotation"``.
            size: Numbers for each crystal or atom; None: one, without an axis for it.
            num_atoms: Atoms of each crystal; if given, numbers are drawn for each atom.

        Returns:
            ``[num_crystals]``, ``[num_crystals, size]``, ``[num_atoms]`` or ``[num_atoms, size]``.
        """
        values = _to_unit(self._bits(stream, size or 1, num_atoms))
        return torch.from_numpy(values if size is not None else values[:, 0])

    def normal(
        self, stream: str, size: int | None = None, num_atoms: Tensor | None = None
    ) -> Tensor:
        """Normal with mean 0 and variance 1; float64; arguments as in ``uniform``."""
        first, second = np.split(_to_unit(self._bits(stream, 2 * (size or 1), num_atoms)), 2, 1)
        # Box and Muller; 1 - u is never zero.
        values = np.sqrt(-2.0 * np.log1p(-first)) * np.cos(2.0 * np.pi * second)
        return torch.from_numpy(values if size is not None else values[:, 0])

    def integers(
        self,
        stream: str,
        low: int,
        high: int | Tensor,
        size: int | None = None,
        num_atoms: Tensor | None = None,
    ) -> Tensor:
        """Whole numbers from ``low`` to below ``high``; int64; else as in ``uniform``.

        ``high`` may differ from row to row, and must exceed ``low``.
        """
        span = torch.as_tensor(high, device="cpu") - low
        if bool((span < 1).any()):
            raise ValueError(f"integers from {low} to below {high}: there is none")
        unit = self.uniform(stream, size, num_atoms)
        span = span[:, None] if span.ndim and unit.ndim > 1 else span
        return low + (unit * span).long()

    def _bits(self, stream: str, size: int, num_atoms: Tensor | None) -> NDArray[np.uint64]:
        row = _mix(self._rows + _key(self.seed, self.epoch, stream))
        if num_atoms is not None:
            counts = num_atoms.cpu().numpy()
            place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            row = _mix(np.repeat(row, counts) + (place.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
        column = (np.arange(size, dtype=np.uint64) + np.uint64(1)) * _GOLDEN
        return _mix(row[:, None] ^ _mix(column))


def _key(seed: int, epoch: int, stream: str) -> np.uint64:
    text = f"{seed}/{epoch}/{stream}".encode()
    return np.uint64(int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little"))


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = value + _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def _to_unit(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
