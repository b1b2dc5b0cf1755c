"""Batches of samples: so many crystals, and for some models so many pairs of atoms at most."""

from dataclasses import replace

import pytest
import torch

from crystal_data.generation import GenerationRequest, tasks_of
from crystal_gen import PublishedDiT, Sampling, StructureGenerator
from crystal_gen.generator import portions


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ([], None, []),
        ([9, 9, 9, 9], None, [slice(0, 3), slice(3, 4)]),
        ([1, 2, 3, 4], 5, [slice(0, 2), slice(2, 3), slice(3, 4)]),
        ([7, 1, 7], 5, [slice(0, 1), slice(1, 2), slice(2, 3)]),
        ([1, 1, 1, 1, 1, 1], 100, [slice(0, 3), slice(3, 6)]),
    ],
)
def test_portions_hold_so_much_at_most(sizes, most, expected):
    assert list(portions(sizes, most, 3)) == expected


def test_pairs_of_a_batch_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """All atoms are neighbors in the published model, so that memory grows with pairs."""
    torch.manual_seed(0)
    model = PublishedDiT(width=8, num_layers=1, num_frequencies=2, time_width=8, num_heads=2)
    monkeypatch.setattr(PublishedDiT, "max_pairs", 2 * 8**2)
    pairs = []
    forward = model.network.forward

    def watched(graph, *arguments):
        pairs.append(graph.edge_index.shape[1])
        return forward(graph, *arguments)

    monkeypatch.setattr(model.network, "forward", watched)
    request = GenerationRequest.from_dict({"space_group": 225, "wyckoff": "Na:4a Cl:4b"})
    tasks = tasks_of([replace(request, num_samples=5)])
    samples = StructureGenerator(model, sampling=Sampling(1)).generate(tasks)
    assert len(samples) == 5
    assert 0 < max(pairs) <= 2 * 8**2
