"""From atoms to crystals."""

from torch import Tensor


def mean_over_atoms(
    atoms: Tensor, batch: Tensor, num_atoms: Tensor, count: Tensor | None = None
) -> Tensor:
    """Mean over the atoms of each crystal, so that a supercell has the vector of its cell.

    Args:
        atoms: Shape ``[num_rows, width]``.
        batch: Crystal of each row; shape ``[num_rows]``.
        num_atoms: Atoms of each crystal; shape ``[num_crystals]``.
        count: Atoms that each row stands for, by default one; shape ``[num_rows]``.

    Returns:
        Shape ``[num_crystals, width]``.
    """
    if count is not None:
        atoms = atoms * count[:, None].to(atoms.dtype)
    total = atoms.new_zeros(len(num_atoms), atoms.shape[1]).index_add(0, batch, atoms)
    return total / num_atoms[:, None].to(atoms.dtype)
