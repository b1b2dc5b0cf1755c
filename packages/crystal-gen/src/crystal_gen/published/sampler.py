"""The predictor–corrector sampler of DiffCSP++, strided to any number of steps."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from crystal_data.transforms import SampleRandom
from crystal_gen.lattice_vector import FamilyConstraint
from crystal_gen.published.atoms import CellAtoms
from crystal_gen.published.schedules import Schedules, strided_times

# What a clean lattice vector may be: shapes beyond those of known crystals, and mean edges of 1 to
# 180 Å.
_SMALLEST = (-1.5, -1.5, -1.5, -3.0, -3.0, 0.0)
_LARGEST = (1.5, 1.5, 1.5, 3.0, 3.0, 9.0)


@dataclass(frozen=True, eq=False)
class State:
    """What symmetry leaves free of a batch of crystals, at some level of noise."""

    parameters: Tensor  # [num_orbits, 3], free coordinates, 0 where not free
    vector: Tensor  # [num_crystals, 6], lattice vector, as the crystal families allow it


#: From a state and a time: the noise of the lattice vector, and minus the score of the free
#: coordinates divided by its root mean square; ``[num_crystals, 6]`` and ``[num_orbits, 3]``.
Denoiser = Callable[[State, int], tuple[Tensor, Tensor]]


class Sampler:
    """Turns noise, or crystals with noise, into crystals.

    Every number is drawn for a crystal by its own row, the time and the purpose, so that a sample
    does not depend on its batch.

    Args:
        schedules: Noise by time.
        atoms: Of the cells.
        constraint: What may be chosen of the lattice vectors.
        random: For all noise.
        corrector_step: γ of the corrector.

    Source:
        DiffCSP++, algorithm 2, in the order of its public code: corrector, then predictor.
    """

    def __init__(
        self,
        schedules: Schedules,
        atoms: CellAtoms,
        constraint: FamilyConstraint,
        random: SampleRandom,
        corrector_step: float,
    ) -> None:
        self._schedules = schedules
        self._atoms = atoms
        self._constraint = constraint
        self._num_orbits = atoms.num_orbits.cpu()
        self._random = random
        self._corrector_step = corrector_step

    def pure_noise(self) -> State:
        """Uniform free coordinates and normal lattice vectors."""
        uniform = self._random.uniform("start", 3, self._num_orbits).to(self._constraint.bias)
        return State(
            torch.where(self._atoms.free_axes, uniform, 0.0),
            self._constraint.apply(self._cell_noise("start", self._schedules.num_timesteps)),
        )

    def noised(self, clean: State, time: int) -> State:
        """A state at a time, from a clean one."""
        alpha_bar = float(self._schedules.alpha_bar[time])
        sigma = float(self._schedules.sigma[time])
        noise = self._cell_noise("start", time)
        vector = alpha_bar**0.5 * clean.vector + (1 - alpha_bar) ** 0.5 * noise
        return State(
            clean.parameters + sigma * self._position_noise("start", time),
            self._constraint.apply(vector),
        )

    def run(self, denoise: Denoiser, state: State, start: int, num_steps: int) -> State:
        """A clean state.

        Args:
            denoise: The network.
            state: At time ``start``.
            start: Time, at least 1.
            num_steps: Steps to time 0, two evaluations of the network in each.
        """
        times = strided_times(start, num_steps)
        for time, earlier in pairwise(times):
            _, score = denoise(state, time)
            state = State(self._corrected(state.parameters, score, time, earlier), state.vector)
            lattice_noise, score = denoise(state, time)
            state = State(
                self._predicted(state.parameters, score, time, earlier),
                self._predicted_cell(state.vector, lattice_noise, time, earlier),
            )
        return state

    def _corrected(self, parameters: Tensor, score: Tensor, time: int, earlier: int) -> Tensor:
        """A Langevin step at one level of noise."""
        expected = float(self._schedules.squared_score[time])
        step = self._corrector_step / (expected * self._schedules.first_sigma**2)
        moved = parameters - step * expected**0.5 * score
        if earlier > 0:
            moved = moved + (2 * step) ** 0.5 * self._position_noise("corrector", time)
        return torch.remainder(moved, 1.0)

    def _predicted(self, parameters: Tensor, score: Tensor, time: int, earlier: int) -> Tensor:
        """An ancestral step of the free coordinates."""
        sigma, next_sigma = (float(self._schedules.sigma[t]) for t in (time, earlier))
        removed = sigma**2 - next_sigma**2
        scale = float(self._schedules.squared_score[time]) ** 0.5
        moved = parameters - removed * scale * score
        if earlier > 0:
            deviation = next_sigma / sigma * removed**0.5
            moved = moved + deviation * self._position_noise("predictor", time)
        return torch.remainder(moved, 1.0)

    def _predicted_cell(self, vector: Tensor, noise: Tensor, time: int, earlier: int) -> Tensor:
        """The posterior of the lattice vector at an earlier time, given the clean one."""
        now, then = (float(self._schedules.alpha_bar[t]) for t in (time, earlier))
        clean = (vector - (1 - now) ** 0.5 * noise) / now**0.5
        # At late times an error of the noise is multiplied by hundreds.
        clean = clean.clamp(clean.new_tensor(_SMALLEST), clean.new_tensor(_LARGEST))
        kept, added = now / then, 1 - now / then
        mean = (then**0.5 * added * clean + kept**0.5 * (1 - then) * vector) / (1 - now)
        deviation = (added * (1 - then) / (1 - now)) ** 0.5
        moved = mean + deviation * self._cell_noise("predictor", time)
        return self._constraint.apply(moved)

    def _position_noise(self, purpose: str, time: int) -> Tensor:
        """Normal displacements of representatives, as free coordinates; ``[num_orbits, 3]``."""
        normal = self._random.normal(f"{purpose} positions {time}", 3, self._num_orbits)
        return self._atoms.to_free(normal.to(self._constraint.bias))

    def _cell_noise(self, purpose: str, time: int) -> Tensor:
        """Normal numbers; ``[num_crystals, 6]``."""
        return self._random.normal(f"{purpose} cell {time}", 6).to(self._constraint.bias)
