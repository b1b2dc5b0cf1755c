"""What is measured of a repair: displacements and strains."""

from torch import Tensor

from crystal_data import CrystalBatch
from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs import nearest_images
from crystal_data.training import Sums
from crystal_gan.models.repair import centered


def true_displacement(batch: CrystalBatch) -> Tensor:
    """How each atom was moved, as far as that can be told; shape ``[num_atoms, 3]``, Å.

    Through the nearest image, and less what moved all atoms of a crystal alike. A fractional
    displacement, as published, is no target for an equivariant model: it depends on the cell.

    Raises:
        InvalidArgumentError: If the batch does not say how atoms were moved.
    """
    if batch.displacement is None:
        raise InvalidArgumentError(
            "the batch has no displacements; PerturbAtoms must be among its transforms"
        )
    return centered(nearest_images(batch.displacement, batch.lattice, batch.batch), batch)


def displacement_sums(displacement: Tensor, batch: CrystalBatch) -> Sums:
    """Sums over atoms of a batch.

    ``displacement_loss`` is the squared error as a share of what it is without any repair.
    ``position_error`` is the distance of atoms from where they belong after the repair, Å, and
    ``position_error_unrepaired`` before it. An atom alone in its cell belongs anywhere and does not
    count.

    Args:
        displacement: Predicted, Å; shape ``[num_atoms, 3]``.
        batch: With displacements.

    Raises:
        InvalidArgumentError: As ``true_displacement``.
    """
    truth = true_displacement(batch)
    counts = (batch.num_atoms > 1)[batch.batch].to(truth)
    error = displacement - truth
    return {
        "displacement_loss": (error.square().sum(), truth.square().sum()),
        "position_error": ((error.detach().norm(dim=1) * counts).sum(), counts.sum()),
        "position_error_unrepaired": ((truth.norm(dim=1) * counts).sum(), counts.sum()),
    }


def strain_sums(strain: Tensor, batch: CrystalBatch) -> Sums:
    """Sums over crystals of a batch.

    ``strain_loss`` is the squared error as a share of what it is without any repair;
    ``strain_error`` is the error of a component, root mean square over a crystal's nine, and
    ``strain_error_unrepaired`` that before the repair.

    Args:
        strain: Predicted, logarithmic; shape ``[num_crystals, 3, 3]``.
        batch: With strains.

    Raises:
        InvalidArgumentError: If the batch does not say how cells were strained.
    """
    if batch.strain is None:
        raise InvalidArgumentError(
            "the batch has no strain; PerturbLattice must be among its transforms"
        )
    truth = batch.strain.flatten(1)
    error = strain.flatten(1) - truth
    count = truth.new_tensor(len(truth))
    return {
        "strain_loss": (error.square().sum(), truth.square().sum()),
        "strain_error": (error.detach().norm(dim=1).sum() / 3, count),
        "strain_error_unrepaired": (truth.norm(dim=1).sum() / 3, count),
    }
