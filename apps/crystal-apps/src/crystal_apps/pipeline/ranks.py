"""What the processes agree on that torchrun or SLURM starts side by side."""

import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from crystal_apps.pipeline.spec import PipelineError

if TYPE_CHECKING:
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

_PATIENCE = timedelta(days=7)  # a stage may take long on the first process alone
_LAST_QUESTIONS = timedelta(seconds=60)  # that others may still ask when the first is done


class _Store(Protocol):
    def set(self, key: str, value: str, /) -> None: ...
    def get(self, key: str, /) -> bytes: ...
    def wait(self, keys: list[str], timeout: timedelta, /) -> None: ...


@dataclass
class Ranks:
    """This process among those that run the same pipeline.

    Args:
        rank: 0 for the one that decides, writes and prints.
        world_size: Number of processes on all nodes.
        num_nodes: Number of machines.
        address: Of the machine with rank 0.
        store: What they talk through; None for one process.
    """

    rank: int = 0
    world_size: int = 1
    num_nodes: int = 1
    address: str = "127.0.0.1"
    store: _Store | None = None
    _asked: int = 0

    def agree(self, decide: Callable[[], Any]) -> Any:
        """What the first process decides, for all; values that JSON holds.

        Raises:
            PipelineError: On the others, with what the first one failed with.
        """
        if self.store is None:
            return decide()
        self._asked += 1
        key = f"crystal/{self._asked}"
        if self.rank:
            answer = json.loads(self.store.get(key))
            if "error" in answer:
                raise PipelineError(answer["error"])
            return answer["value"]
        try:
            value = decide()
        except BaseException as error:
            self.store.set(key, json.dumps({"error": str(error)}))
            raise
        self.store.set(key, json.dumps({"value": value}))
        return value

    def all_well(self, *, is_well: bool) -> bool:
        """Whether all processes say so; they wait for each other."""
        if self.store is None:
            return is_well
        self._asked += 1
        names = [f"crystal/{self._asked}/{rank}" for rank in range(self.world_size)]
        self.store.set(names[self.rank], str(int(is_well)))
        return all(self.store.get(name) == b"1" for name in names)

    def leave(self) -> None:
        """To be called when there is nothing more to agree on.

        The store ends with the first process, so that waits until the others have their answers.
        """
        if self.store is None:
            return
        if self.rank:
            self.store.set(f"crystal/left/{self.rank}", "1")
            return
        from torch.distributed import DistStoreError

        # One that has died meanwhile will not answer.
        with suppress(DistStoreError):
            others = [f"crystal/left/{rank}" for rank in range(1, self.world_size)]
            self.store.wait(others, _LAST_QUESTIONS)

    def environment(self, port: int) -> dict[str, str]:
        """Variables with which a run's processes find each other, apart from all other runs."""
        if self.store is None:
            return {}
        return {
            "MASTER_ADDR": self.address,
            "MASTER_PORT": str(port),
            # torchrun keeps a store of its own on its port, which the second run would find
            # full of the first one's addresses.
            "TORCHELASTIC_USE_AGENT_STORE": "False",
        }


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def join() -> Ranks:
    """Finds out who started this process, and waits for the others."""
    found = _launcher()
    if found is None or found.world_size() == 1:
        return Ranks()
    from torch._C._distributed_c10d import TCPStore

    rank, size = found.global_rank(), found.world_size()
    store = TCPStore(
        found.main_address, found.main_port + 1, size, is_master=rank == 0, timeout=_PATIENCE
    )
    return Ranks(rank, size, _num_nodes(), found.main_address, store)


def is_first() -> bool:
    """Whether this is the only process, or the one of several that prints and writes."""
    found = _launcher()
    return found is None or found.global_rank() == 0


def _launcher() -> "ClusterEnvironment | None":
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    kinds = (TorchElasticEnvironment, SLURMEnvironment)
    return next((kind() for kind in kinds if kind.detect()), None)


def _num_nodes() -> int:
    if "SLURM_NNODES" in os.environ and "LOCAL_WORLD_SIZE" not in os.environ:
        return int(os.environ["SLURM_NNODES"])
    return int(os.environ.get("WORLD_SIZE", "1")) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
