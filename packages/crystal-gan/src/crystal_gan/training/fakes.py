"""Repaired crystals for a discriminator, through which gradients reach the generator."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from crystal_data import CrystalBatch
from crystal_gan.equiformer import NUM_SPECIES
from crystal_gan.models.repair import Repair
from crystal_gan.training.losses import true_displacement


def repaired(batch: CrystalBatch, repair: Repair) -> tuple[CrystalBatch, Tensor]:
    """The crystals that a repair gives, differentiable in elements and positions.

    A hidden atom is the likeliest element, but has the gradient of the probabilities
    (straight-through), since no gradient passes a choice.

    Args:
        batch: Corrupted.
        repair: Of it.

    Returns:
        Crystals without edges, and the shares of species in each atom
        ``[num_atoms, NUM_SPECIES]``.
    """
    fractions = F.pad(repair.logits.softmax(1), (1, 0))
    choice = F.one_hot(repair.logits.argmax(1) + 1, NUM_SPECIES).to(fractions)
    chosen = choice + fractions - fractions.detach()
    seen = F.one_hot(batch.atomic_numbers, NUM_SPECIES).to(fractions)
    hidden = batch.atomic_numbers == 0
    species = torch.where(hidden[:, None], chosen, seen)
    return repaired_geometry(batch, repair), species


def repaired_geometry(batch: CrystalBatch, repair: Repair) -> CrystalBatch:
    """A copy without edges, with atoms and cells where a repair puts them."""
    return unstrained(moved_back(batch, repair.displacement), repair.strain)


def original(batch: CrystalBatch) -> CrystalBatch:
    """The crystals before they were corrupted, up to a common shift of atoms; without edges."""
    out = moved_back(batch, true_displacement(batch)) if batch.displacement is not None else batch
    if batch.true_atomic_numbers is not None:
        out = replace(out, atomic_numbers=batch.true_atomic_numbers)
    return unstrained(out.without_edges(), batch.strain)


def moved_back(batch: CrystalBatch, displacement: Tensor) -> CrystalBatch:
    """A copy without edges whose atoms go back by a displacement ``[num_atoms, 3]``, Å."""
    into_cell = torch.linalg.inv(batch.lattice)[batch.batch]
    frac_coords = batch.frac_coords - torch.einsum("ni,nij->nj", displacement, into_cell)
    return replace(batch.without_edges(), frac_coords=frac_coords)


def unstrained(batch: CrystalBatch, strain: Tensor | None) -> CrystalBatch:
    """A copy whose cells go back by a logarithmic strain ``[num_crystals, 3, 3]``, if there is."""
    if strain is None:
        return batch
    return replace(batch, lattice=batch.lattice @ torch.matrix_exp(-strain))
