"""Potentials that relax crystals: ASE's effective medium theory, CHGNet, SevenNet."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from typing import TYPE_CHECKING, Any

from crystal_data.elements import SYMBOLS
from crystal_data.errors import InvalidArgumentError, SourceError
from crystal_data.trajectories.emt import (
    Floats,
    Integers,
    ManyCrystalPotential,
    PotentialResults,
    effective_medium,
)

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from chgnet.model.model import CHGNet

# Those that effective medium theory was fitted for; H, C, N, O are there as crude guesses.
_EMT_ELEMENTS = frozenset({"Al", "Cu", "Ag", "Au", "Ni", "Pd", "Pt"})
# Enough that arrays are long, few enough that little is lost by a kill.
_IN_STEP = {"emt": 512, "chgnet": 64}
_CHGNET_MODEL = "0.3.0"
_SEVENN_MODEL = "7net-0"


@dataclass(frozen=True)
class Potential:
    """A potential by name.

    Args:
        name: As given on the command line.
        functional: What frames say that they were computed with.
        distribution: Package whose version counts; it brings the weights along.
        elements: Symbols that it knows; None for all up to atomic number 94.
        make: Makes the calculator.
        of_many: The same for many crystals at once, where that is quicker.
    """

    name: str
    functional: str
    distribution: str
    elements: frozenset[str] | None
    make: "Callable[[], Calculator]"
    of_many: ManyCrystalPotential | None = None

    @property
    def num_in_step(self) -> int:
        """How many crystals are best relaxed at once."""
        return _IN_STEP.get(self.name, 1)

    def unsupported(self, species: list[str]) -> list[str]:
        """Symbols among the given that it does not know."""
        known = self.elements or frozenset(SYMBOLS[1:95])
        return sorted(set(species) - known)

    def provenance(self) -> dict[str, Any]:
        """Plain values that decide about its results.

        Raises:
            SourceError: If it is not installed.
        """
        try:
            installed = version(self.distribution)
        except PackageNotFoundError as error:
            raise _missing(self.name) from error
        return {"potential": self.functional, self.distribution: installed}


@lru_cache(maxsize=2)
def calculator(name: str) -> "Calculator":
    """ASE's calculator of a potential; one for each process.

    Raises:
        InvalidArgumentError: If there is no potential of this name.
        SourceError: If it is not installed.
    """
    return potential(name).make()


def potential(name: str) -> Potential:
    """A potential by its name.

    Raises:
        InvalidArgumentError: If there is none of this name.
    """
    if name not in POTENTIALS:
        raise InvalidArgumentError(
            f"no potential '{name}'", f"there are {', '.join(sorted(POTENTIALS))}"
        )
    return POTENTIALS[name]


def _missing(name: str) -> SourceError:
    return SourceError(
        f"the potential {name} is not installed", f"pip install 'crystal-data[{name}]'"
    )


def _emt() -> "Calculator":
    from ase.calculators.emt import EMT

    return EMT()


def _chgnet() -> "Calculator":
    with _quiet("chgnet"):
        from chgnet.model.dynamics import CHGNetCalculator

        return CHGNetCalculator(chgnet_model(), use_device="cpu", on_isolated_atoms="error")


def chgnet_model() -> "CHGNet":
    """The network, with the weights that come with its package.

    Raises:
        SourceError: If it is not installed.
    """
    with _quiet("chgnet"):
        from chgnet.model.model import CHGNet

        return CHGNet.load(model_name=_CHGNET_MODEL, use_device="cpu", verbose=False)


def _chgnet_of_many(
    lattice: Floats, frac_coords: Floats, atomic_numbers: Integers, num_atoms: Integers
) -> PotentialResults:
    # Imports torch, which names of potentials need not wait for.
    from crystal_data.trajectories.chgnet import chgnet_of_many

    return chgnet_of_many(lattice, frac_coords, atomic_numbers, num_atoms)


def _sevenn() -> "Calculator":
    with _quiet("sevenn"):
        from sevenn.calculator import SevenNetCalculator

        return SevenNetCalculator(_SEVENN_MODEL, device="cpu")


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Neither what a library prints when it is loaded, nor warnings about its own libraries.

    Args:
        name: Of the potential, which is missing where an import fails.
    """
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        except ImportError as error:
            raise _missing(name) from error


POTENTIALS = {
    one.name: one
    for one in (
        Potential("emt", "emt", "ase", _EMT_ELEMENTS, _emt, effective_medium),
        Potential("chgnet", f"chgnet-{_CHGNET_MODEL}", "chgnet", None, _chgnet, _chgnet_of_many),
        Potential("sevenn", f"sevennet-{_SEVENN_MODEL}", "sevenn", None, _sevenn),
    )
}
