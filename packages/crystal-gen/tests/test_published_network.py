"""The message-passing network: size, invariances, and the same by a plain loop over atoms."""

import pytest
import torch
from torch import Tensor, nn

from crystal_gen.published.network import CellGraph, CSPNet, fully_connected, sinusoidal


def network(num_properties: int = 0) -> CSPNet:
    torch.manual_seed(0)
    return CSPNet(32, 2, 8, 16, num_properties=num_properties, num_heads=4)


def small_graph(num_atoms=(3, 1, 5)) -> tuple[CellGraph, Tensor, Tensor, Tensor]:
    """A graph, coordinates, lattice vectors and times."""
    counts, rng = torch.tensor(num_atoms), torch.Generator().manual_seed(1)
    batch = torch.arange(len(counts)).repeat_interleave(counts)
    numbers = torch.randint(1, 101, (len(batch),), generator=rng)
    graph = CellGraph(numbers, batch, counts, fully_connected(counts))
    coordinates = torch.rand(len(batch), 3, generator=rng)
    vectors = torch.randn(len(counts), 6, generator=rng)
    return graph, coordinates, vectors, torch.randint(1, 1001, (len(counts),), generator=rng)


def test_as_many_weights_as_published():
    assert sum(weights.numel() for weights in CSPNet().parameters()) == 12_283_904


def test_all_pairs_of_each_crystal():
    neighbor, center = fully_connected(torch.tensor([2, 1])).tolist()
    assert list(zip(neighbor, center, strict=True)) == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 2)]


def test_as_a_plain_loop():
    model, (graph, x, k, time) = network(), small_graph()
    lattice, displaced = model(graph, x, k, time)
    end = 0
    for crystal, count in enumerate(graph.num_atoms.tolist()):
        inside = range(end, end + count)
        end += count
        moment = sinusoidal(time[crystal, None], 16)[0]
        h = [
            model.begin(torch.cat([model.elements.weight[graph.atomic_numbers[i] - 1], moment]))
            for i in inside
        ]
        for layer in model.layers:
            normed = [layer.norm(one) for one in h]
            new = []
            for i in range(count):
                messages = []
                for j in range(count):
                    phase = 2 * torch.pi * (x[inside[j]] - x[inside[i]])[:, None] * torch.arange(8)
                    waves = torch.cat([phase.sin().flatten(), phase.cos().flatten()])
                    pair = torch.cat([normed[i], normed[j], k[crystal], waves])
                    inner = nn.functional.silu(layer.message(pair))
                    messages.append(nn.functional.silu(layer.message_out(inner)))
                mean = torch.stack(messages).mean(dim=0)
                new.append(h[i] + layer.update(torch.cat([normed[i], mean])))
            h = new
        final = model.norm(torch.stack(h))
        torch.testing.assert_close(displaced[list(inside)], model.to_coordinates(final))
        torch.testing.assert_close(lattice[crystal], model.to_lattice(final.mean(dim=0)))


@pytest.mark.parametrize("num_properties", [0, 2])
def test_origin_images_order_and_company(num_properties):
    model, (graph, x, k, time) = network(num_properties).double(), small_graph()
    x, k = x.double(), k.double()
    rng = torch.Generator().manual_seed(2)
    tokens = None
    if num_properties:
        tokens = torch.randn(3, num_properties, 32, generator=rng, dtype=torch.float64)
        for block in model.attention:
            nn.init.normal_(block.gate, generator=rng)
    lattice, displaced = model(graph, x, k, time, tokens)

    moved = x + torch.rand(3, 3, generator=rng, dtype=torch.float64)[graph.batch]
    moved = moved + torch.randint(-3, 4, x.shape, generator=rng)
    for ours, theirs in zip(
        model(graph, moved, k, time, tokens), (lattice, displaced), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)

    order = torch.tensor([2, 0, 1, 3, 8, 4, 7, 5, 6])
    permuted = graph._replace(atomic_numbers=graph.atomic_numbers[order])
    ours, theirs = model(permuted, x[order], k, time, tokens)
    torch.testing.assert_close(ours, lattice, atol=1e-9, rtol=0)
    torch.testing.assert_close(theirs, displaced[order], atol=1e-9, rtol=0)

    alone = CellGraph(
        graph.atomic_numbers[4:],
        torch.zeros(5, dtype=torch.int64),
        graph.num_atoms[2:],
        fully_connected(graph.num_atoms[2:]),
    )
    ours, theirs = model(alone, x[4:], k[2:], time[2:], None if tokens is None else tokens[2:])
    torch.testing.assert_close(ours, lattice[2:], atol=1e-9, rtol=0)
    torch.testing.assert_close(theirs, displaced[4:], atol=1e-9, rtol=0)


def test_attention_begins_closed_and_can_open():
    plain, model = network(), network(num_properties=1)
    model.load_state_dict(plain.state_dict(), strict=False)
    graph, x, k, time = small_graph()
    tokens = torch.randn(3, 1, 32, generator=torch.Generator())
    for ours, theirs in zip(
        model(graph, x, k, time, tokens), plain(graph, x, k, time), strict=True
    ):
        assert torch.equal(ours, theirs)
    model(graph, x, k, time, tokens)[1].square().sum().backward()
    gates = [block.gate for block in model.attention]
    assert all(gate.grad is not None and gate.grad.abs().sum() > 0 for gate in gates)
    with torch.no_grad():
        for gate in gates:
            gate.fill_(1.0)
    assert not torch.equal(
        model(graph, x, k, time, tokens)[1], model(graph, x, k, time, -tokens)[1]
    )
