import math

import pytest
import torch

from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs import CrystalBatch
from crystal_data.testing import random_crystals
from crystal_data.training import HiddenElementSums, hidden_elements
from crystal_data.transforms import MaskAtoms, SampleRandom


def masked(count=5):
    batch = CrystalBatch.from_crystals(random_crystals(count, seed=0))
    return MaskAtoms()(batch, SampleRandom(0, 0, batch.sample_id)).float32()


def test_sums_are_those_of_the_definitions():
    batch = masked()
    hidden, numbers = hidden_elements(batch)
    logits = torch.zeros(len(numbers), 118)
    logits[:2, numbers[:2] - 1] = 9.0  # right for the first two; others are all alike
    logits[0] = 0.0
    logits[0, torch.tensor([0, 1, 2, 3])] = 9.0  # four others are likelier
    logits[0, numbers[0] - 1] = 5.0
    sums = HiddenElementSums(top=5)(logits, batch)
    assert sums["element_loss"][1] == hidden.sum() == len(numbers)
    expected = torch.nn.functional.cross_entropy(logits, numbers - 1, reduction="sum")
    torch.testing.assert_close(sums["element_loss"][0], expected)
    right = (logits.argmax(1) == numbers - 1).sum()
    assert sums["masked_accuracy"][0] == right
    assert sums["masked_top5"][0] > right
    uniform = HiddenElementSums()(torch.zeros(len(numbers), 118), batch)
    total, count = uniform["element_loss"]
    assert float(total / count) == pytest.approx(math.log(118), rel=1e-5)
    assert "masked_top5" not in uniform


def test_a_batch_without_hidden_atoms_is_refused():
    batch = CrystalBatch.from_crystals(random_crystals(2, seed=0))
    with pytest.raises(InvalidArgumentError, match="no hidden atoms; MaskAtoms must be"):
        hidden_elements(batch)
