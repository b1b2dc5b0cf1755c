"""Equal shares of an epoch for every group: exact, in turn, the same for any number of ranks."""

from collections import Counter

import numpy as np
import pytest

from crystal_data import CrystalDataModule, CrystalSource, JoinedSource, Record
from crystal_data.loading.groups import equal_shares
from crystal_data.loading.packing import Bound
from crystal_data.loading.sampler import CrystalSampler
from crystal_data.testing import random_crystals

SIZES = {"large": 90, "middle": 24, "small": 6}
GROUPS = np.repeat([0, 1, 2], list(SIZES.values()))


class Listed(CrystalSource):
    def __init__(self, name, size):
        self._name, self._size = name, size

    @property
    def name(self):
        return self._name

    def fingerprint(self):
        return f"{self._name}{self._size}"

    def records(self):
        for number, crystal in enumerate(random_crystals(self._size, seed=0, max_atoms=3)):
            split = "val" if number % 3 == 2 else "train"
            yield Record(f"{self._name}-{number}", crystal, "crystal", split=split)


def rows_of(epoch, world_size=1, **options):
    steps = []
    for rank in range(world_size):
        sampler = CrystalSampler(
            np.arange(120),
            is_training=True,
            groups=GROUPS,
            rank=rank,
            world_size=world_size,
            **({"batch_size": 16} | options),
        )
        sampler.set_epoch(epoch)
        steps.append([request.rows for request in sampler if not request.is_filler])
    return [np.concatenate(step) for step in zip(*steps, strict=True)]


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_every_group_has_an_equal_share(epoch):
    rows = np.concatenate(rows_of(epoch))
    assert np.bincount(GROUPS[rows]).tolist() == [40, 40, 40]
    counts = Counter(rows.tolist())
    for group, (first, size) in enumerate(zip((0, 90, 114), SIZES.values(), strict=True)):
        times = [counts[row] for row in range(first, first + size)]
        # Nothing comes again before all others of the group have come.
        assert max(times) - min(times) <= (2 if group else 1)


def test_members_come_equally_often_over_the_epochs():
    # 9 epochs of 40 are 4 rounds of 90, 15 of 24 and 60 of 6.
    rows = np.concatenate([np.concatenate(rows_of(epoch)) for epoch in range(9)])
    times = np.bincount(rows)
    assert times[:90].tolist() == [4] * 90
    assert times[90:114].tolist() == [15] * 24
    assert times[114:].tolist() == [60] * 6


def test_steps_are_the_same_for_any_number_of_ranks_and_drawn_by_seed_and_epoch():
    alone = rows_of(3)
    for world_size in (2, 3):
        together = rows_of(3, world_size)
        assert [rows.tolist() for rows in together] == [rows.tolist() for rows in alone]
    assert [rows.tolist() for rows in rows_of(3)] == [rows.tolist() for rows in alone]
    others = [rows_of(4), rows_of(3, seed=1)]
    assert all(other[0].tolist() != alone[0].tolist() for other in others)


def test_shares_hold_with_bounds_and_buckets():
    sizes = np.random.default_rng(0).integers(1, 20, 120)
    bounds = (Bound("max_atoms", 60, sizes),)
    for epoch in range(5):
        steps = rows_of(epoch, batch_size=None, bounds=bounds, bucket_sizes=sizes)
        assert np.bincount(GROUPS[np.concatenate(steps)]).tolist() == [40, 40, 40]
        assert all(sizes[rows].sum() <= 60 for rows in steps)


def test_what_does_not_divide_goes_to_the_first_groups():
    drawn = equal_shares(np.array([5, 5, 7, 9]), 5, seed=0, epoch=2)
    assert np.bincount(np.array([5, 5, 7, 9])[drawn]).tolist()[5:] == [2, 0, 2, 0, 1]


def test_the_data_module_balances_training_alone(tmp_path):
    source = JoinedSource([Listed(name, size) for name, size in SIZES.items()])
    data = CrystalDataModule(source, batch_size=16, balance="source", cache=tmp_path).configure()
    data.prepare_data()
    data.setup("fit")
    groups = data.groups("source")
    assert groups.names == ("large", "middle", "small")
    counts = [
        np.bincount(groups.of_row[np.concatenate([batch.sample_id for batch in loader])]).tolist()
        for loader in (data.train_dataloader(), data.val_dataloader())
    ]
    assert counts == [[27, 27, 26], [30, 8, 2]]
    assert set(data.sample_ids("train")) == set(data.store.rows_of("train"))


def test_a_column_that_does_not_exist_is_named(tmp_path):
    data = CrystalDataModule(Listed("a", 9), balance="source", cache=tmp_path).configure()
    data.prepare_data()
    data.setup("fit")
    with pytest.raises(KeyError, match="has no column 'source'"):
        data.train_dataloader()
