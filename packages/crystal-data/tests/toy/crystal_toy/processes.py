"""One training step, alone and in two processes; a module that spawned processes can import."""

import os

import torch
import torch.distributed as dist
from torch import nn

from crystal_data.training.distributed import GlobalBatchNorm1d, all_reduce_sum
from crystal_data.training.masked import MaskedMAE, masked_loss

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


def worker(rank, port, queue):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    features, label = data()
    mine = slice(0, CUT) if rank == 0 else slice(CUT, None)
    net = Net()
    model = nn.parallel.DistributedDataParallel(net)
    prediction, loss = step(model, features[mine], label[mine])
    metric = MaskedMAE(["a", "b"])
    metric.update(prediction, label[mine])
    result = {
        "gradients": {name: p.grad.numpy() for name, p in net.named_parameters()},
        "running": (net.norm.running_mean.numpy(), net.norm.running_var.numpy()),
        "loss": all_reduce_sum(loss).item() / 2,
        "mae": metric.compute().numpy(),
        "num_labels": metric.num_labels,
    }
    queue.put((rank, result))
    dist.barrier()
    dist.destroy_process_group()
