"""Two processes give what one gives: losses, gradients, batch statistics, errors."""

import socket
import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from crystal_data.processes.distributed import GlobalBatchNorm1d
from crystal_data.training.masked import masked_loss


@pytest.fixture(scope="module")
def processes():
    place = str(Path(__file__).parent / "toy")
    sys.path.insert(0, place)
    from crystal_toy import processes

    yield processes
    sys.path.remove(place)


@pytest.fixture(scope="module")
def two_processes(processes):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    queue = mp.get_context("spawn").Queue()
    context = mp.spawn(processes.worker, args=(port, queue), nprocs=2, join=False)
    # A process that fails raises here, before anyone waits for its result.
    while queue.empty():
        context.join(timeout=0.1)
    results = dict(queue.get(timeout=60) for _ in range(2))
    while not context.join():
        pass
    return results


@pytest.fixture(scope="module")
def one_process(processes):
    features, label = processes.data()
    net = processes.Net()
    plain = nn.BatchNorm1d(4)
    net.norm = plain  # torch's own, so that ours is compared with another implementation
    prediction, loss = processes.step(net, features, label)
    return net, prediction.detach(), label, loss.item()


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_gradients_are_those_of_one_process(two_processes, one_process, rank):
    net = one_process[0]
    for name, parameter in net.named_parameters():
        got = torch.from_numpy(two_processes[rank]["gradients"][name])
        torch.testing.assert_close(got, parameter.grad, atol=2e-6, rtol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("loss", ["mae", "mse"])
def test_learned_weights_have_the_gradients_of_one_process(two_processes, processes, loss, rank):
    alone = processes.Uncertain(loss)
    alone(*processes.data()).backward()
    for name, parameter in alone.named_parameters():
        got = torch.from_numpy(two_processes[rank]["uncertain"][loss][name])
        torch.testing.assert_close(got, parameter.grad, atol=2e-6, rtol=1e-5, msg=name)


@pytest.mark.slow
def test_loss_is_the_mean_over_all_labels(two_processes, one_process):
    _, prediction, label, loss = one_process
    known = ~label.isnan()
    weight = torch.tensor([1.0, 3.0]).expand_as(label)
    each = nn.functional.huber_loss(prediction, label.nan_to_num(), reduction="none")
    expected = (each * weight)[known].sum() / weight[known].sum()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert two_processes[0]["loss"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_running_statistics(two_processes, one_process, rank):
    norm = one_process[0].norm
    mean, variance = (torch.from_numpy(x) for x in two_processes[rank]["running"])
    torch.testing.assert_close(mean, norm.running_mean)
    torch.testing.assert_close(variance, norm.running_var)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_errors_are_over_all_labels(two_processes, one_process, rank):
    _, prediction, label, _ = one_process
    expected = (prediction - label).abs().nanmean(0)
    got = two_processes[rank]["mae"]
    values = torch.tensor([got[name][0] for name in ("mae/a", "mae/b")])
    torch.testing.assert_close(values, expected, atol=1e-6, rtol=1e-5)
    assert [got[name][1] for name in ("mae/a", "mae/b")] == [12, 11]


def test_alone_it_is_the_batch_norm_of_torch():
    features = torch.randn(6, 4)
    ours, theirs = GlobalBatchNorm1d(4), nn.BatchNorm1d(4)
    torch.testing.assert_close(ours(features), theirs(features))
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_no_label_gives_a_loss_of_zero_and_no_nan():
    prediction = torch.ones(3, 1, requires_grad=True)
    loss = masked_loss(prediction, torch.full((3, 1), torch.nan), "mse")
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(prediction.grad, torch.zeros(3, 1))


def test_a_missing_label_changes_no_gradient_of_others():
    label = torch.tensor([[1.0, torch.nan], [2.0, 5.0]])
    prediction = torch.zeros(2, 2, requires_grad=True)
    masked_loss(prediction, label, "mae").backward()
    expected = torch.tensor([[-1.0, 0.0], [-1.0, -1.0]]) / 3
    torch.testing.assert_close(prediction.grad, expected)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_scores_of_classes_are_those_of_one_process(two_processes, processes, rank):
    expected = processes.scored(slice(None))
    assert two_processes[rank]["scores"].keys() == expected.keys()
    for name, found in two_processes[rank]["scores"].items():
        assert found == pytest.approx(expected[name], rel=1e-6), name
