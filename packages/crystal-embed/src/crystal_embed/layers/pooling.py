"""From atoms to crystals."""

from torch import Tensor


def mean_over_atoms(atoms: Tensor, batch: Tensor, num_atoms: Tensor) -> Tensor:
    """Mean over the atoms of each crystal, so that a supercell has the vector of its cell.

    Args:
        atoms: Shape ``[num_atoms, width]``.
        batch: Crystal of each atom; shape ``[num_atoms]``.
        num_atoms: Atoms of each crystal; shape ``[num_crystals]``.

    Returns:
        Shape ``[num_crystals, width]``.
    """
    total = atoms.new_zeros(len(num_atoms), atoms.shape[1]).index_add(0, batch, atoms)
    return total / num_atoms[:, None].to(atoms.dtype)
