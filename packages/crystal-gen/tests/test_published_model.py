"""The published model: loss, samples, start from a structure, properties, artifacts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crystal_data.errors import InvalidArgumentError
from crystal_data.loading import OrbitBatch
from crystal_data.symmetry import SymmetricCrystal, all_lattice_parameters, free_lattice_parameters
from crystal_data.testing.generator_contract import symmetry_error
from crystal_data.transforms import SampleRandom
from crystal_gen import PublishedDiT, Sampling
from crystal_gen.batches import crystals_of
from crystal_gen.lattice_vector import lattice_vector
from crystal_gen.published.wrapped_normal import wrapped_normal_score


def model(**arguments) -> PublishedDiT:
    torch.manual_seed(0)
    small = {"width": 32, "num_layers": 2, "num_frequencies": 16, "time_width": 32, "num_heads": 4}
    return PublishedDiT(**{**small, **arguments})


def crystal_of(batch: OrbitBatch, row: int) -> SymmetricCrystal:
    found = crystals_of(batch)[row]
    assert found is not None
    return found


def with_energy(batch: OrbitBatch, *values: float) -> OrbitBatch:
    return replace(batch, targets={"energy": torch.tensor(values)})


def opened(network: PublishedDiT) -> PublishedDiT:
    """With gates of the attention blocks as training might leave them."""
    for block in network.network.attention:
        nn.init.normal_(block.gate)
    return network


def polar(shift: float) -> OrbitBatch:
    """Two orbits in space group 33, whose origin is free along z."""
    points = torch.tensor([[[0.1, 0.2, 0.3], [0.6, 0.7, 0.45]]], dtype=torch.float64)
    points[..., 2] += shift
    return OrbitBatch(
        sample_id=torch.zeros(1, dtype=torch.int64),
        identifier=["polar"],
        targets={},
        space_group_number=torch.tensor([33]),
        lattice_parameters=torch.tensor([[8.0, 9.0, 10.0, 90, 90, 90]], dtype=torch.float64),
        free_lattice=torch.tensor([[True, True, True, False, False, False]]),
        atomic_numbers=torch.tensor([[13, 8]]),
        wyckoff=torch.zeros(1, 2, dtype=torch.int64),
        multiplicity=torch.full((1, 2), 4),
        frac_coords=points,
        free_axes=torch.ones(1, 2, 3, dtype=torch.bool),
        mask=torch.ones(1, 2, dtype=torch.bool),
    )


def mean_losses(network: PublishedDiT, batch: OrbitBatch, epochs: int) -> dict[str, float]:
    """Over the noise of several epochs."""
    sums: dict[str, float] = {"coordinates": 0.0, "cell": 0.0}
    with torch.no_grad():
        for epoch in range(epochs):
            losses = network.losses(batch, SampleRandom(1, epoch, range(batch.num_crystals)))
            for name, (total, count) in losses.items():
                sums[name] += float(total / count) / epochs
    return sums


def test_losses_of_a_batch_are_those_of_its_crystals(orbits: OrbitBatch, take):
    network = model(properties=["energy"])
    whole = network.losses(orbits, SampleRandom(0, 0, range(8)))
    parts = [network.losses(take(orbits, [row]), SampleRandom(0, 0, [row])) for row in range(8)]
    atoms = int(orbits.multiplicity.sum())
    for name, expected in (("coordinates", 3 * atoms), ("cell", 6 * 8)):
        assert float(whole[name][1]) == expected
        assert sum(float(part[name][1]) for part in parts) == expected
        total = torch.stack([part[name][0] for part in parts]).sum()
        torch.testing.assert_close(whole[name][0], total, rtol=1e-4, atol=1e-4)


def test_loss_of_an_output_of_zero_is_the_mean_square_of_the_noise(orbits: OrbitBatch):
    network = model()
    for head in (network.network.to_lattice, network.network.to_coordinates):
        nn.init.zeros_(head.weight)
    # One for each component that is free, over six.
    is_free = network.is_free[orbits.space_group_number]
    cell = mean_losses(network, orbits, 150)["cell"]
    assert cell == pytest.approx(float(is_free.float().mean()), rel=0.05)


def test_loss_knows_no_origin_along_a_polar_axis():
    first, second = (
        model().double().losses(polar(shift), SampleRandom(0, 0, [0]))["coordinates"][0]
        for shift in (0.0, 0.37)
    )
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)


class Oracle(nn.Module):
    """In place of the network: knows the crystal of group 33, in general positions."""

    def __init__(self, network: PublishedDiT, batch: OrbitBatch) -> None:
        super().__init__()
        self.schedules = network.schedules
        atoms = network.images.atoms_of(batch)
        self.frac_coords = atoms.expand(batch.frac_coords[batch.mask])
        self.vector = lattice_vector(batch.lattice_parameters)

    def forward(self, graph, frac_coords, vector, time, properties):
        alpha_bar = self.schedules.alpha_bar[time, None]
        noise = (vector - alpha_bar.sqrt() * self.vector) / (1 - alpha_bar).sqrt()
        sigma, expected = self.schedules.sigma[time], self.schedules.squared_score[time]
        score = wrapped_normal_score(frac_coords - self.frac_coords, sigma)
        return noise, -score / expected.sqrt()


def test_a_network_without_error_has_no_loss_and_makes_the_crystal():
    network, batch = model().double(), polar(0.0)
    network.network = Oracle(network, batch)
    losses = mean_losses(network, batch, 20)
    assert losses["coordinates"] < 1e-9
    assert losses["cell"] < 1e-9
    made = network.sample(batch, SampleRandom(0, 0, [7]), Sampling(num_steps=200))
    torch.testing.assert_close(made.lattice_parameters, batch.lattice_parameters)
    delta = made.frac_coords - batch.frac_coords
    assert (delta - delta.round()).abs().max() < 0.02


def test_learns_a_few_crystals(known_orbits: OrbitBatch, take):
    network, batch = model(), take(known_orbits, [0, 1, 2, 3, 4] * 4)

    def edge_error() -> float:
        made = network.sample(known_orbits, SampleRandom(0, 0, range(5)), Sampling(num_steps=100))
        edges = made.lattice_parameters[:, :3] / known_orbits.lattice_parameters[:, :3]
        return float(edges.log().abs().mean())

    before, error_before = mean_losses(network, batch, 10), edge_error()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    for step in range(300):
        optimizer.zero_grad()
        losses = network.losses(batch, SampleRandom(0, step, range(20)))
        sum(total / count for total, count in losses.values()).backward()
        optimizer.step()
        schedule.step()
    after = mean_losses(network, batch, 10)
    assert after["cell"] < 0.3 * before["cell"]
    assert after["coordinates"] < before["coordinates"]
    # From noise alone, cells come near to the true ones.
    assert edge_error() < min(0.25, 0.2 * error_before)


@pytest.mark.parametrize("num_steps", [1, 6])
@pytest.mark.parametrize("start", [None, 0.1, 1.0])
def test_samples_are_legal(orbits: OrbitBatch, num_steps: int, start: float | None):
    made = model().sample(
        orbits, SampleRandom(0, 0, range(8)), Sampling(num_steps=num_steps), start=start
    )
    assert made.frac_coords.isfinite().all()
    for row in range(orbits.num_crystals):
        one = crystal_of(made, row)
        number = one.space_group_number
        # The representative lies on its position and the cell obeys the group as they come.
        inside = made.mask[row]
        given = made.frac_coords[row][inside].double().numpy()
        delta = one.frac_coords - given
        assert np.abs(delta - np.rint(delta)).max() < 1e-5
        cell = made.lattice_parameters[row].double().numpy()
        free = cell[list(free_lattice_parameters(number))]
        assert all_lattice_parameters(number, free).tolist() == cell.tolist()
        # The network is untrained, so cells are odd, but never smaller than 1 Å³.
        assert np.linalg.det(one.lattice) > 0.9
        whole = one.to_crystal()
        assert symmetry_error(whole, number) < 1e-3 * max(1.0, cell[:3].max() / 100)
        assert whole.num_atoms == int(made.multiplicity[row].sum())


def test_a_sample_does_not_depend_on_its_batch(orbits: OrbitBatch, take):
    network, rows = model().double(), np.array([3, 1 << 62, 5, 7, 11, 13, 17, 19])

    def made(batch: OrbitBatch, rows) -> OrbitBatch:
        return network.sample(batch, SampleRandom(0, 0, rows), Sampling(num_steps=5))

    together = made(orbits, rows)
    for row in (0, 3, 6):
        alone = made(take(orbits, [row]), rows[[row]])
        ours, theirs = crystal_of(alone, 0), crystal_of(together, row)
        np.testing.assert_allclose(ours.lattice, theirs.lattice, rtol=1e-4)
        delta = ours.frac_coords - theirs.frac_coords
        assert np.abs(delta - np.rint(delta)).max() < 1e-5
    assert torch.equal(made(orbits, rows).frac_coords, together.frac_coords)
    assert not torch.allclose(
        made(orbits, range(8)).lattice_parameters, together.lattice_parameters
    )


def test_a_low_level_stays_near_its_start(known_orbits: OrbitBatch):
    network = model()
    for head in (network.network.to_lattice, network.network.to_coordinates):
        nn.init.zeros_(head.weight)
    near = network.sample(
        known_orbits, SampleRandom(0, 0, range(5)), Sampling(num_steps=5), start=0.001
    )
    assert (near.frac_coords - known_orbits.frac_coords)[known_orbits.mask].abs().max() < 0.03
    change = (near.lattice_parameters / known_orbits.lattice_parameters).log().abs()
    assert change.max() < 0.1


def test_half_precision_is_near_full(known_orbits: OrbitBatch):
    """The network alone is in half precision: coordinates have to be exact to be in their cell."""
    built = opened(model(properties=["energy"]))
    batch = with_energy(known_orbits, *[-1.0] * known_orbits.num_crystals)

    def both() -> tuple[Tensor, Tensor]:
        losses = built.losses(batch, SampleRandom(0, 0, batch.sample_id))
        made = built.sample(batch, SampleRandom(0, 0, batch.sample_id), Sampling(2))
        return torch.stack([total for total, _ in losses.values()]), made.frac_coords

    full_losses, full_coords = both()
    with torch.autocast("cpu", torch.bfloat16):
        half_losses, half_coords = both()
    assert half_losses.dtype == torch.float32
    assert torch.allclose(full_losses, half_losses, rtol=0.02)
    assert half_coords.dtype == full_coords.dtype
    way = half_coords - full_coords
    assert (way - way.round()).abs().max() < 0.02


def test_properties_unknown_missing_and_guided(known_orbits: OrbitBatch):
    network = opened(model(properties=["energy"]))
    random = SampleRandom(0, 0, range(5))
    asked = with_energy(known_orbits, 1.0, 2.0, 3.0, 4.0, 5.0)
    unknown = with_energy(known_orbits, *[torch.nan] * 5)

    def cells(batch: OrbitBatch, guidance: float) -> Tensor:
        return network.sample(
            batch, random, Sampling(num_steps=3, guidance=guidance)
        ).lattice_parameters

    without = cells(unknown, 1.0)
    assert without.isfinite().all()
    assert torch.equal(cells(known_orbits, 1.0), without)
    assert torch.equal(cells(asked, 0.0), without)
    assert torch.allclose(cells(unknown, 3.0), without)
    assert not torch.allclose(cells(asked, 1.0), without)
    assert not torch.allclose(cells(asked, 1.0), cells(asked, 3.0))
    # A value is read in its unit.
    plain = cells(asked, 1.0)
    network.property_mean.fill_(9.0)
    network.property_std.fill_(10.0)
    torch.testing.assert_close(cells(with_energy(known_orbits, 19, 29, 39, 49, 59), 1.0), plain)


def test_properties_are_hidden_in_training_alone(known_orbits: OrbitBatch):
    network = opened(model(properties=["energy"], property_dropout=1.0))
    low, high = (with_energy(known_orbits, *[value] * 5) for value in (-1.0, 1.0))

    def loss(batch: OrbitBatch) -> float:
        with torch.no_grad():
            return float(network.losses(batch, SampleRandom(0, 0, range(5)))["cell"][0])

    assert loss(low) == loss(high)
    network.eval()
    assert loss(low) != loss(high)


def test_unknown_properties_have_gradients(known_orbits: OrbitBatch):
    network = opened(model(properties=["energy"], property_dropout=0.0))
    batch = with_energy(known_orbits, 1.0, torch.nan, 2.0, torch.nan, 0.0)
    losses = network.losses(batch, SampleRandom(0, 0, range(5)))
    (losses["coordinates"][0] + losses["cell"][0]).backward()
    gradients = [weights.grad for weights in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert network.tokens is not None
    assert network.tokens.unknown.grad.abs().sum() > 0


def test_saved_and_loaded(tmp_path, known_orbits: OrbitBatch):
    network = opened(model(properties=["energy"]))
    network.property_std.fill_(2.0)
    loaded = PublishedDiT.from_pretrained(network.save_pretrained(tmp_path / "model"))
    batch = with_energy(known_orbits, 1.0, 2.0, 3.0, 4.0, 5.0)
    random = SampleRandom(0, 0, range(5))
    ours, theirs = (one.sample(batch, random, Sampling(num_steps=2)) for one in (network, loaded))
    assert torch.equal(ours.frac_coords, theirs.frac_coords)
    assert loaded.graph_spec is None


def test_arguments_that_cannot_be_used(known_orbits: OrbitBatch):
    random = SampleRandom(0, 0, range(5))
    with pytest.raises(InvalidArgumentError, match="5 heads do not divide the width 32"):
        model(properties=["a"], num_heads=5)
    with pytest.raises(InvalidArgumentError, match="num_steps is 0"):
        model().sample(known_orbits, random, Sampling(num_steps=0))
    with pytest.raises(InvalidArgumentError, match=r"start is 1\.5; it is above 0"):
        model().sample(known_orbits, random, Sampling(), start=1.5)
    heavy = replace(known_orbits, atomic_numbers=known_orbits.atomic_numbers.clamp(max=1) * 101)
    with pytest.raises(InvalidArgumentError, match="no row for Md; it knows the elements up to Fm"):
        model().losses(heavy, random)
