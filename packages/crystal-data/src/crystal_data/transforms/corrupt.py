"""Hides elements, moves atoms, strains cells; keeps what was there, for models that repair."""

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs.batch import CrystalBatch
from crystal_data.graphs.neighbors import neighbor_list
from crystal_data.graphs.spec import GraphSpec
from crystal_data.transforms.base import Transform
from crystal_data.transforms.random import SampleRandom

MASK = 0  # the atomic number of a hidden atom


class MaskAtoms(Transform):
    """Hides the elements of some atoms; each crystal loses at least one.

    Sets ``atomic_numbers`` to 0 there and adds ``masked_sites``, bool ``[num_atoms]``, True where
    hidden, and ``true_atomic_numbers``, int64 ``[num_atoms]``.

    Args:
        species_probability: Share of the crystals that lose a whole species, that of a random atom;
            the others lose random atoms.
        share: Of a crystal's atoms, how many random ones are hidden, rounded up.
    """

    moves_atoms: ClassVar[bool] = False

    def __init__(self, species_probability: float = 0.5, share: float = 0.15) -> None:
        if not 0.0 <= species_probability <= 1.0:
            raise InvalidArgumentError(
                f"species_probability must lie between 0 and 1, not {species_probability}"
            )
        if not 0.0 < share <= 1.0:
            raise InvalidArgumentError(f"share must lie above 0 and up to 1, not {share}")
        self.species_probability = species_probability
        self.share = share

    @override
    def __call__(self, batch: CrystalBatch, rng: SampleRandom) -> CrystalBatch:
        device = batch.batch.device
        numbers = batch.true_atomic_numbers
        if numbers is None:
            numbers = batch.atomic_numbers
        first = batch.num_atoms.cumsum(0) - batch.num_atoms
        chosen = first + rng.integers("mask/species", 0, batch.num_atoms).to(device)
        is_species = numbers == numbers[chosen][batch.batch]
        order = rng.uniform("mask/atoms", num_atoms=batch.num_atoms).to(device)
        wanted = (batch.num_atoms * self.share - 1e-9).ceil().long().clamp(min=1)
        is_random = _rank_within(order, batch.batch, first) < wanted[batch.batch]
        whole = rng.uniform("mask/whether").to(device) < self.species_probability
        masked_sites = torch.where(whole[batch.batch], is_species, is_random)
        return replace(
            batch,
            atomic_numbers=numbers.masked_fill(masked_sites, MASK),
            masked_sites=masked_sites,
            true_atomic_numbers=numbers,
        )


class PerturbAtoms(Transform):
    """Moves each atom by a normal Cartesian displacement, and drops edges.

    Adds ``displacement`` ``[num_atoms, 3]``, Å: where each atom went, to be undone. The cell stays.

    Args:
        sigma: Standard deviation of each component.
        relative: ``sigma`` counts the crystal's shortest distance, images of an atom itself
            included, so that one atom in a cell has one too; False: ``sigma`` is in Å.
    """

    moves_atoms: ClassVar[bool] = True

    def __init__(self, sigma: float = 0.1, relative: bool = True) -> None:
        if sigma <= 0.0:
            raise InvalidArgumentError(f"sigma must be positive, not {sigma}")
        self.sigma = sigma
        self.relative = relative

    @override
    def __call__(self, batch: CrystalBatch, rng: SampleRandom) -> CrystalBatch:
        noise = rng.normal("perturb", size=3, num_atoms=batch.num_atoms).to(batch.frac_coords)
        scale = torch.full_like(batch.lattice[:, 0, 0], self.sigma)
        if self.relative:
            scale *= shortest_distances(batch).to(scale)
        displacement = noise * scale[batch.batch][:, None]
        into_cell = torch.linalg.inv(batch.lattice)[batch.batch]
        frac_coords = batch.frac_coords + (displacement[:, None, :] @ into_cell)[:, 0]
        return replace(batch.without_edges(), frac_coords=frac_coords, displacement=displacement)


class PerturbLattice(Transform):
    """Strains the cell, and the atoms with it, without turning it; drops edges.

    Adds ``strain`` ``[num_crystals, 3, 3]``: the symmetric logarithmic strain E. The lattice L
    becomes ``L @ exp(E)``, so that ``L' @ exp(-E)`` undoes it, the volume grows by the factor
    ``exp(trace(E))``, and no cell can collapse. Fractional coordinates stay.

    Args:
        sigma: Standard deviation of the strain along any direction. Shears have one of
            ``sigma / sqrt(2)``, which makes the strain as likely as any that is turned.
    """

    moves_atoms: ClassVar[bool] = True

    def __init__(self, sigma: float = 0.03) -> None:
        if sigma <= 0.0:
            raise InvalidArgumentError(f"sigma must be positive, not {sigma}")
        self.sigma = sigma

    @override
    def __call__(self, batch: CrystalBatch, rng: SampleRandom) -> CrystalBatch:
        noise = rng.normal("strain", size=9).to(batch.lattice).view(-1, 3, 3)
        strain = self.sigma / 2 * (noise + noise.transpose(1, 2))
        stretch = torch.matrix_exp(strain)
        out = replace(batch.without_edges(), lattice=batch.lattice @ stretch, strain=strain)
        if batch.displacement is not None:
            by_atom = stretch[batch.batch]
            out.displacement = torch.einsum("ni,nij->nj", batch.displacement, by_atom)
        return out


def shortest_distances(batch: CrystalBatch) -> Tensor:
    """Shortest distance between two atoms of each crystal, through periodic images.

    An atom and its own image count, so every crystal has one; shape ``[num_crystals]``, Å.
    """
    nearest = GraphSpec(max_neighbors=1)
    edges = neighbor_list(batch.lattice, batch.frac_coords, batch.num_atoms, nearest)
    shortest = torch.full_like(batch.lattice[:, 0, 0], torch.inf, dtype=torch.float64)
    crystal = batch.batch[edges.edge_index[1]]
    return shortest.scatter_reduce_(0, crystal, edges.edge_length, "amin")


def _rank_within(values: Tensor, batch: Tensor, first: Tensor) -> Tensor:
    """Rank of each atom's value in its crystal, from 0; ``values`` lie in [0, 1)."""
    order = (batch + values).argsort()
    rank = torch.empty_like(batch)
    rank[order] = torch.arange(len(batch), device=batch.device)
    return rank - first[batch]
