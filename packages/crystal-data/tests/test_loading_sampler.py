"""Which rows come in which batch, for any number of rows, ranks and bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystal_data.loading.packing import Bound
from crystal_data.loading.sampler import CrystalSampler


def epochs_of(world_size, epoch=0, **options):
    """For each rank, its list of requests."""
    ranks = []
    for rank in range(world_size):
        sampler = CrystalSampler(rank=rank, world_size=world_size, **options)
        sampler.set_epoch(epoch)
        requests = list(sampler)
        assert len(requests) == len(sampler)
        ranks.append(requests)
    return ranks


@st.composite
def plans(draw):
    sizes = np.array(draw(st.lists(st.integers(1, 30), min_size=1, max_size=80)))
    world_size = draw(st.integers(1, 5))
    options = {
        "rows": np.arange(len(sizes)) * 3 + 7,
        "is_training": draw(st.booleans()),
        "seed": draw(st.integers(0, 3)),
        "bucket_sizes": draw(st.sampled_from([None, sizes])),
    }
    has_bounds = draw(st.booleans())
    if has_bounds:
        bounds = [Bound("max_atoms", draw(st.integers(int(sizes.max()), 90)), sizes)]
        if draw(st.booleans()):
            edges = sizes[::-1] * 10
            bounds.append(Bound("max_edges", draw(st.integers(int(edges.max()), 900)), edges))
        options["bounds"] = tuple(bounds)
    if not has_bounds or draw(st.booleans()):
        options["batch_size"] = draw(st.integers(world_size, 40))
    return world_size, draw(st.integers(0, 3)), options


@settings(max_examples=300, deadline=None)
@given(plans())
def test_every_row_comes_once_and_ranks_keep_step(plan):
    world_size, epoch, options = plan
    ranks = epochs_of(world_size, epoch, **options)
    assert len({len(requests) for requests in ranks}) == 1
    requests = [ranks[r][step] for step in range(len(ranks[0])) for r in range(world_size)]
    assert all(len(request.rows) for request in requests)
    assert {request.epoch for request in requests} == {epoch if options["is_training"] else 0}
    real = np.concatenate([request.rows for request in requests if not request.is_filler])
    assert sorted(real.tolist()) == options["rows"].tolist()
    if not options["is_training"]:
        assert real.tolist() == options["rows"].tolist()
    # Fillers stand only where the last step has fewer rows than there are ranks.
    fillers = sum(request.is_filler for request in requests)
    assert fillers < world_size
    assert not ranks[0][-1].is_filler
    if "bounds" not in options and not options["is_training"] and len(real) >= world_size:
        assert fillers == 0


@settings(max_examples=200, deadline=None)
@given(plans())
def test_bounds_hold(plan):
    world_size, epoch, options = plan
    position = {row: place for place, row in enumerate(options["rows"].tolist())}
    for requests in epochs_of(world_size, epoch, **options):
        for request in requests:
            places = [position[row] for row in request.rows.tolist()]
            for bound in options.get("bounds", ()):
                assert bound.sizes[places].sum() <= bound.limit
            if "bounds" in options and "batch_size" in options:
                assert len(places) <= options["batch_size"] // world_size


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(4, 20), st.integers(1, 4), st.integers(0, 5))
def test_training_steps_are_the_same_for_any_number_of_ranks(num_rows, batch_size, ranks, epoch):
    options = {"rows": np.arange(num_rows), "batch_size": batch_size, "is_training": True}
    (alone,) = epochs_of(1, epoch, **options)
    together = epochs_of(ranks, epoch, **options)
    assert len(alone) == len(together[0])
    for step, whole in enumerate(alone):
        parts = [requests[step].rows for requests in together if not requests[step].is_filler]
        assert np.concatenate(parts).tolist() == whole.rows.tolist()
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_order_depends_on_seed_and_epoch_alone():
    options = {"rows": np.arange(50), "batch_size": 10, "is_training": True}

    def order(seed, epoch):
        (requests,) = epochs_of(1, epoch, seed=seed, **options)
        return np.concatenate([request.rows for request in requests]).tolist()

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(seed, epoch)) for seed in (0, 1) for epoch in (0, 1, 2)}) == 6


def test_number_of_bounded_batches_stays_the_same_in_all_epochs():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 60, size=500)
    sampler = CrystalSampler(
        np.arange(500), bounds=(Bound("max_atoms", 64, sizes),), is_training=True, world_size=3
    )
    counts = set()
    for epoch in range(30):
        sampler.set_epoch(epoch)
        counts.add(len(list(sampler)))
    assert counts == {len(sampler)}
    # Large crystals leave room in their batches, yet not more than half of it on average.
    assert sizes.sum() / 64 <= len(sampler) * 3 <= 2 * sizes.sum() / 64


def test_buckets_need_little_padding():
    sizes = np.random.default_rng(0).integers(1, 100, size=4000)

    def padding(bucket_sizes):
        sampler = CrystalSampler(
            np.arange(4000), batch_size=32, is_training=True, bucket_sizes=bucket_sizes
        )
        return sum(sizes[r.rows].max() * len(r.rows) for r in sampler) / sizes.sum() - 1

    assert padding(sizes) < 0.05
    assert padding(None) > 0.5


def test_messages():
    rows, sizes = np.array([10, 11]), np.array([3, 40])
    with pytest.raises(ValueError, match="no rows"):
        CrystalSampler(rows[:0], batch_size=1)
    with pytest.raises(ValueError, match="give batch_size, max_atoms or max_edges"):
        CrystalSampler(rows)
    with pytest.raises(
        ValueError, match="row 11 of the store alone counts 40, more than max_atoms=32"
    ):
        CrystalSampler(rows, bounds=(Bound("max_atoms", 32, sizes),))
    with pytest.raises(ValueError, match="2 is less than one for each of 4 ranks"):
        CrystalSampler(rows, batch_size=2, world_size=4)


def test_fewer_rows_than_ranks_are_filled_and_flagged():
    ranks = epochs_of(4, rows=np.array([5, 6]), batch_size=8)
    assert [[r.rows.tolist() for r in requests] for requests in ranks] == [
        [[5]],
        [[6]],
        [[5]],
        [[5]],
    ]
    assert [requests[0].is_filler for requests in ranks] == [False, False, True, True]
