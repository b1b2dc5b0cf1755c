"""The published structure model as one trainable module."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from crystal_data.elements import SYMBOLS
from crystal_data.errors import InvalidArgumentError
from crystal_data.loading import OrbitBatch
from crystal_data.training import Sums
from crystal_data.transforms import SampleRandom
from crystal_gen.heads import check_heads
from crystal_gen.lattice_vector import (
    FamilyConstraint,
    family_constraints,
    lattice_parameters,
    lattice_vector,
)
from crystal_gen.published.atoms import CellAtoms, WyckoffImages
from crystal_gen.published.attention import PropertyTokens
from crystal_gen.published.network import NUM_ELEMENTS, CellGraph, CSPNet, fully_connected
from crystal_gen.published.sampler import Sampler, State
from crystal_gen.published.schedules import Schedules
from crystal_gen.published.wrapped_normal import wrapped_normal_score
from crystal_gen.structure_model import Sampling, StructureModel

# Times, as shares of T, at which structures are scored.
_SCORED_SHARES = (0.1, 0.3, 0.5, 0.7)


class PublishedDiT(StructureModel):
    """Diffusion of lattice and positions under space group and Wyckoff letters: DiffCSP++.

    With properties it is the Crystal DiT that is built on DiffCSP++: an attention block after each
    message layer. Kept as published, also where the default model of this package does otherwise:

    - all atoms of the conventional cell are nodes, all ordered pairs of them are edges;
    - the noise of an orbit is that of its representative, through the pseudo-inverse of the
      position: (x, x, x) gets less of it than (x, y, z), while the target counts it as full;
    - sampling begins with uniform positions at time T − 1, though noise is not quite uniform there;
    - each atom counts alike in the loss of coordinates, so that large cells count more than small
      ones, and what symmetry fixes is part of the means, as zeros.

    Corrected or decided, where the published code has a fault or says nothing:

    - the mean squared score is integrated, not drawn at random for each model;
    - noise of the lattice vector has no bias: what the hexagonal family fixes is put in its place;
    - a sample that starts from a structure gets its noise as in training;
    - a cell without volume is an error, not the identity;
    - an estimate of the clean lattice vector is limited to cells of 1 to 180 Å;
    - fewer steps than T have the noise levels of the times that they visit, and the lattice has
      the posterior between those times;
    - the attention block, tokens for unknown properties and their random omission in training, by
      which a sample can be guided, are our own reading of a text whose equations are lost.

    Defaults are those of DiffCSP++ for MP-20.

    Args:
        width: Length of an atom's vector.
        num_layers: Message layers.
        num_frequencies: Frequencies of the Fourier features.
        time_width: Length of the vector of the time.
        num_timesteps: T.
        corrector_step: γ of the corrector; 5e-7 for Perov-5, 5e-6 for Carbon-24.
        properties: Columns of the data that may be wished for.
        num_heads: Heads of the attention blocks.
        property_dropout: Share of crystals whose properties are hidden in training.

    Raises:
        InvalidArgumentError: If there are properties and the heads do not divide the width.

    Source:
        Jiao et al., "Space group constrained crystal generation", ICLR 2024, and its public code
        DiffCSP-PP; attention block: arXiv 2411.08464.
    """

    default_sampling: ClassVar[Sampling] = Sampling(num_steps=1000)
    max_pairs: ClassVar[int | None] = 2**17  # which have some thousand numbers each, half a GB
    is_free: Tensor  # [231, 6]
    bias: Tensor  # [231, 6]

    def __init__(
        self,
        width: int = 512,
        num_layers: int = 6,
        num_frequencies: int = 128,
        time_width: int = 256,
        num_timesteps: int = 1000,
        corrector_step: float = 1e-5,
        properties: Sequence[str] = (),
        num_heads: int = 8,
        property_dropout: float = 0.1,
    ) -> None:
        super().__init__(properties)
        if properties:
            check_heads(width, num_heads)
        self._num_timesteps = num_timesteps
        self._corrector_step = corrector_step
        self._property_dropout = property_dropout
        self.network = CSPNet(
            width, num_layers, num_frequencies, time_width, len(self.properties), num_heads
        )
        self.tokens = PropertyTokens(len(self.properties), width) if properties else None
        self.schedules = Schedules(num_timesteps)
        self.images = WyckoffImages()
        is_free, bias = family_constraints()
        self.register_buffer("is_free", is_free, persistent=False)
        self.register_buffer("bias", bias.to(torch.get_default_dtype()), persistent=False)

    @property
    @override
    def supported_elements(self) -> frozenset[int]:
        """Those that the table has a row for."""
        return frozenset(range(1, NUM_ELEMENTS + 1))

    @override
    def losses(self, batch: OrbitBatch, random: SampleRandom) -> Sums:
        """Squared errors of the predicted noise at random times.

        Args:
            batch: True crystals, with the model's properties among its targets; NaN where unknown.
            random: For times and noise.

        Returns:
            Total and count of ``coordinates`` and ``cell``; the published loss is the sum of both
            means.

        Raises:
            InvalidArgumentError: If an element has no row, or a cell no volume.
        """
        time = random.integers("time", 1, len(self.schedules.sigma)).to(self.bias.device)
        wishes = self.wishes(batch)
        if self.training:
            is_hidden = random.uniform("hidden").to(wishes) < self._property_dropout
            wishes = wishes.masked_fill(is_hidden[:, None], torch.nan)
        coordinates, cell, _ = self._squared_errors(batch, wishes, time, random)
        return {
            name: (errors.sum(), errors.new_tensor(errors.numel()))
            for name, errors in (("coordinates", coordinates), ("cell", cell))
        }

    def _squared_errors(
        self, batch: OrbitBatch, wishes: Tensor, time: Tensor, random: SampleRandom
    ) -> tuple[Tensor, Tensor, CellAtoms]:
        """Of the predicted noise at times: of atoms, of cells; and the atoms."""
        atoms, graph, constraint = self._described(batch)
        clean, num_orbits = _clean_state(batch, constraint), atoms.num_orbits.cpu()
        cell_noise = random.normal("cell", 6).to(self.bias) * constraint.is_free
        displacement = random.normal("positions", 3, num_orbits).to(self.bias)
        displacement = atoms.to_free(displacement)
        alpha_bar = self.schedules.alpha_bar[time, None].to(self.bias)
        vector = alpha_bar.sqrt() * clean.vector + (1 - alpha_bar).sqrt() * cell_noise
        time_of_orbit = time.repeat_interleave(atoms.num_orbits)
        sigma = self.schedules.sigma[time_of_orbit, None].to(self.bias)
        scale = self.schedules.squared_score[time_of_orbit, None].to(self.bias).sqrt()
        target = -wrapped_normal_score(sigma * displacement, sigma) / scale
        predicted, displaced = self.network(
            graph,
            atoms.expand(clean.parameters + sigma * displacement),
            constraint.apply(vector),
            time,
            self._tokens(wishes),
        )
        cell = (predicted * constraint.is_free - cell_noise) ** 2
        coordinates = (atoms.each_to_free(displaced) - target[atoms.orbit]) ** 2
        return coordinates, cell, atoms

    @override
    @torch.no_grad()
    def scores(self, batch: OrbitBatch, random: SampleRandom) -> Tensor:
        wishes, total = self.wishes(batch), self.bias.new_zeros(batch.num_crystals)
        for place, share in enumerate(_SCORED_SHARES):
            time = torch.full_like(batch.space_group_number, round(share * self._num_timesteps))
            time = time.clamp(min=1)
            coordinates, cell, atoms = self._squared_errors(
                batch, wishes, time, random.in_epoch(place)
            )
            of_atoms = torch.zeros_like(total).index_add(0, atoms.batch, coordinates.mean(1))
            total += of_atoms / atoms.num_atoms + cell.mean(1)
        return -total / len(_SCORED_SHARES)

    @override
    @torch.no_grad()
    def sample(
        self,
        batch: OrbitBatch,
        random: SampleRandom,
        sampling: Sampling,
        start: float | None = None,
    ) -> OrbitBatch:
        """Crystals with the elements, space groups and Wyckoff letters of a batch.

        Args:
            batch: What is wanted; wanted properties among its targets, NaN or absent where any
                value will do.
            random: For all noise, so that a sample does not depend on others.
            sampling: Steps have two evaluations of the network each, and are no more than there
                are times. There is no sharpness.
            start: Share of T at which the batch's own cells and coordinates are taken up, above 0
                and at most 1; None begins from noise alone.

        Returns:
            The batch with new ``frac_coords`` and ``lattice_parameters``, exact in their symmetry.

        Raises:
            InvalidArgumentError: If an element has no row, a given cell no volume, or an argument
                is out of its range.
        """
        if sampling.sharpness:
            raise InvalidArgumentError(
                f"sharpness is {sampling.sharpness}; the published sampler has none: set it to 0"
            )
        if start is not None and not 0 < start <= 1:
            raise InvalidArgumentError(
                f"start is {start}; it is above 0 and at most 1, or None for noise alone"
            )
        atoms, graph, constraint = self._described(batch)
        sampler = Sampler(self.schedules, atoms, constraint, random, self._corrector_step)
        begin = self.schedules.num_timesteps - 1
        if start is None:
            state = sampler.pure_noise()
        else:
            begin = min(max(round(start * self.schedules.num_timesteps), 1), begin)
            state = sampler.noised(_clean_state(batch, constraint), begin)
        wishes = self.wishes(batch)
        wanted, without = self._tokens(wishes), self._tokens(torch.full_like(wishes, torch.nan))
        guidance = sampling.guidance
        is_guided = guidance not in (0.0, 1.0) and not bool(wishes.isnan().all())

        def evaluate(state: State, time: int, tokens: Tensor | None) -> tuple[Tensor, Tensor]:
            times = torch.full_like(batch.space_group_number, time)
            predicted, displaced = self.network(
                graph, atoms.expand(state.parameters), state.vector, times, tokens
            )
            return predicted, atoms.orbit_mean(displaced)

        def denoise(state: State, time: int) -> tuple[Tensor, Tensor]:
            if not is_guided:
                return evaluate(state, time, wanted if guidance else without)
            base, aimed = evaluate(state, time, without), evaluate(state, time, wanted)
            return torch.lerp(base[0], aimed[0], guidance), torch.lerp(base[1], aimed[1], guidance)

        state = sampler.run(denoise, state, begin, sampling.num_steps)
        frac_coords = torch.zeros_like(batch.frac_coords)
        frac_coords[batch.mask] = atoms.points(state.parameters).to(frac_coords)
        parameters = lattice_parameters(
            state.vector, batch.space_group_number, batch.free_lattice
        ).to(batch.lattice_parameters)
        return replace(batch, frac_coords=frac_coords, lattice_parameters=parameters)

    def _described(self, batch: OrbitBatch) -> tuple[CellAtoms, CellGraph, FamilyConstraint]:
        """Atoms, pairs and the constraint of the cells of a batch."""
        largest = int(batch.atomic_numbers.max())
        if largest > NUM_ELEMENTS:
            raise InvalidArgumentError(
                f"PublishedDiT has no row for {SYMBOLS[largest]}; it knows the elements up to "
                f"{SYMBOLS[NUM_ELEMENTS]}"
            )
        atoms = self.images.atoms_of(batch)
        edges = fully_connected(atoms.num_atoms)
        graph = CellGraph(atoms.atomic_numbers, atoms.batch, atoms.num_atoms, edges)
        groups = batch.space_group_number
        return atoms, graph, FamilyConstraint(self.is_free[groups], self.bias[groups])

    def _tokens(self, wishes: Tensor) -> Tensor | None:
        """Vectors of the properties; None for a model without properties."""
        if self.tokens is None:
            return None
        tokens: Tensor = self.tokens(wishes)
        return tokens


def _clean_state(batch: OrbitBatch, constraint: FamilyConstraint) -> State:
    """Free coordinates and lattice vectors of given crystals."""
    points = torch.where(batch.free_axes[batch.mask], batch.frac_coords[batch.mask], 0.0)
    vector = lattice_vector(batch.lattice_parameters).to(constraint.bias)
    return State(points.to(constraint.bias), constraint.apply(vector))
