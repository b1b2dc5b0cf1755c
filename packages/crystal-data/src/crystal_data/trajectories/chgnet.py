"""CHGNet of many crystals at once: the numbers of its own calculator, faster.

The package makes an object of every edge of a crystal, and differentiates twice, by positions and
by strains. Here edges are arrays, and one derivative, by the vectors along bonds, holds both. What
symmetry makes equal is computed once.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch

from crystal_data.trajectories.chgnet_graph import Bonds, fold_bonds
from crystal_data.trajectories.chgnet_network import ChgnetNetwork
from crystal_data.trajectories.emt import Floats, Integers, PotentialResults
from crystal_data.trajectories.potentials import chgnet_model

# So many that the features of a layer stay near the processor.
_BONDS_AT_ONCE = 2048


def chgnet_of_many(
    lattice: Floats, frac_coords: Floats, atomic_numbers: Integers, num_atoms: Integers
) -> PotentialResults:
    """Energies, forces and stresses of CHGNet.

    Features are in single precision, so that the last bits of what a crystal gets depend on the
    others. The same crystals in the same order get the same bits.

    Args:
        lattice: Rows are a, b, c; shape ``[num_crystals, 3, 3]``, Å.
        frac_coords: Any image; shape ``[num_atoms, 3]``.
        atomic_numbers: A crystal with one above 94, or with an atom that has no neighbor, gets NaN;
            shape ``[num_atoms]``.
        num_atoms: Atoms of each crystal; shape ``[num_crystals]``.

    Source:
        Deng et al., Nat. Mach. Intell. 5, 1031 (2023); ``CHGNet`` and ``CHGNetCalculator`` of the
        package.
    """
    threads = torch.get_num_threads()
    # The operations are short, and sums by several threads would end in other bits.
    torch.set_num_threads(1)
    try:
        parts = [
            _results(lattice[some], frac_coords[atoms], atomic_numbers[atoms], num_atoms[some])
            for some, atoms in _portions(lattice, num_atoms, _network().cutoff)
        ]
    finally:
        torch.set_num_threads(threads)
    return PotentialResults(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _portions(lattice: Floats, num_atoms: Integers, cutoff: float) -> Iterator[tuple[slice, slice]]:
    """Runs of crystals that are worked on together, and their atoms."""
    density = num_atoms / np.abs(np.linalg.det(lattice))
    work = np.cumsum(num_atoms * density * (cutoff**3 * 2 / 3 * np.pi))
    ends = np.flatnonzero(np.diff(work // _BONDS_AT_ONCE, append=np.inf)) + 1
    last_atoms = np.cumsum(num_atoms)[ends - 1]
    begin = first_atom = 0
    for end, last_atom in zip(ends.tolist(), last_atoms.tolist(), strict=True):
        yield slice(begin, end), slice(first_atom, last_atom)
        begin, first_atom = end, last_atom


def _results(
    lattice: Floats, frac_coords: Floats, atomic_numbers: Integers, num_atoms: Integers
) -> PotentialResults:
    network = _network()
    crystal = np.repeat(np.arange(len(num_atoms)), num_atoms)
    bonds = Bonds.between(lattice, frac_coords, num_atoms, network.cutoff, network.short_cutoff)
    elements = np.minimum(atomic_numbers, network.num_elements) - 1
    vector = torch.from_numpy(bonds.vector).requires_grad_()
    folded = fold_bonds(bonds, vector, elements, crystal, network.num_layers)
    energies = network.energies(folded).double()[folded.atom.of_member]
    [pull] = torch.autograd.grad(energies.sum(), vector)
    slope, center, neighbor = pull.numpy(), bonds.center, bonds.neighbor
    forces = [
        np.bincount(center, axis, len(crystal)) - np.bincount(neighbor, axis, len(crystal))
        for axis in slope.T
    ]
    products = bonds.vector[:, :, None] * slope[:, None, :]
    products = (products + products.swapaxes(1, 2)).reshape(-1, 9) / 2
    virial = [np.bincount(crystal[center], one, len(num_atoms)) for one in products.T]
    energy = np.asarray(np.bincount(crystal, energies.detach().numpy(), len(num_atoms)), np.float64)
    is_lonely = np.bincount(np.concatenate((center, neighbor)), minlength=len(crystal)) == 0
    energy[crystal[(atomic_numbers > network.num_elements) | is_lonely]] = np.nan
    return PotentialResults(
        energy,
        np.stack(forces, axis=1),
        np.stack(virial, axis=1).reshape(-1, 3, 3) / np.abs(np.linalg.det(lattice))[:, None, None],
    )


@lru_cache(maxsize=1)
def _network() -> ChgnetNetwork:
    return ChgnetNetwork(chgnet_model())
