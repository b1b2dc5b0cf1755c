"""One training step, alone and in two processes; a module that spawned processes can import."""

import os

import torch
import torch.distributed as dist
from torch import nn

from crystal_data.field import Field
from crystal_data.processes.distributed import GlobalBatchNorm1d, all_reduce_sum
from crystal_data.training.class_scores import ClassScores
from crystal_data.training.masked import masked_loss
from crystal_data.training.target_errors import TargetErrors
from crystal_data.training.target_loss import UncertaintyLoss

# Rows of each process: uneven, and the labels too.
CUT = 5


def data():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(13, 3, generator=generator)
    label = torch.randn(13, 2, generator=generator)
    label[2, 0] = label[7, 1] = label[8, 1] = torch.nan
    return features, label


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first = nn.Linear(3, 4)
        self.norm = GlobalBatchNorm1d(4)
        self.last = nn.Linear(4, 2)

    def forward(self, features):
        return self.last(torch.tanh(self.norm(self.first(features))))


def step(model, features, label):
    prediction = model(features)
    loss = masked_loss(prediction, label, "huber", torch.tensor([1.0, 3.0]))
    loss.backward()
    return prediction, loss


class Uncertain(nn.Module):
    """A model and what its errors are weighted by, as a LightningModule holds both."""

    def __init__(self, loss):
        super().__init__()
        self.net = Net()
        self.target_loss = UncertaintyLoss(2, loss)
        self.target_loss.log_scale.data = torch.tensor([-1.0, 0.5])

    def forward(self, features, label):
        return self.target_loss(self.net(features), label)


def classes():
    """Probabilities and labels; those of the second target are all on one process."""
    generator = torch.Generator().manual_seed(2)
    probability = torch.rand(13, 2, generator=generator)
    label = (torch.rand(13, 2, generator=generator) < 0.5).float()
    label[:CUT, 1] = label[9, 0] = torch.nan
    return probability, label


def scored(rows):
    scores = ClassScores(["a", "b"])
    probability, label = classes()
    scores.update(probability[rows], label[rows])
    return {name: (one.value.item(), one.num_labels) for name, one in scores.compute().items()}


def gradients(model):
    return {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}


def worker(rank, port, queue):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    features, label = data()
    mine = slice(0, CUT) if rank == 0 else slice(CUT, None)
    net = Net()
    model = nn.parallel.DistributedDataParallel(net)
    prediction, loss = step(model, features[mine], label[mine])
    metric = TargetErrors([Field("a"), Field("b")])
    metric.update(prediction, label[mine])
    uncertain = {loss: Uncertain(loss) for loss in ("mae", "mse")}
    for module in uncertain.values():
        parallel = nn.parallel.DistributedDataParallel(module)
        parallel(features[mine], label[mine]).backward()
    result = {
        "gradients": gradients(net),
        "uncertain": {loss: gradients(module) for loss, module in uncertain.items()},
        "running": (net.norm.running_mean.numpy(), net.norm.running_var.numpy()),
        "loss": all_reduce_sum(loss).item() / 2,
        "scores": scored(mine),
        "mae": {name: (one.value.item(), one.num_labels) for name, one in metric.compute().items()},
    }
    queue.put((rank, result))
    dist.barrier()
    dist.destroy_process_group()
