"""A batch as PyTorch Geometric sees it; importing this module imports PyG."""

import warnings
from typing import Any

from typing_extensions import override

with warnings.catch_warnings():
    # PyG compiles parts of itself on import, in a way that newer versions of torch warn about.
    warnings.filterwarnings("ignore", message=".*torch.jit.script")
    from torch_geometric.data import Data


class CrystalData(Data):
    """``Data`` whose line graphs can be joined: they count edges, where PyG would count atoms."""

    @override
    def __inc__(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        if key == "line_graph_index":
            return self.edge_index.shape[1]
        return super().__inc__(key, value, *args, **kwargs)
