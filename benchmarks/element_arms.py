"""What is compared where labels are few: tables in front of graph networks, and whole networks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from crystal_embed import ALIGNN, CGCNN, CrystalTransformer, MEGNet
from crystal_gan import Equiformer, RepairModel
from crystal_gan.shipped import REPAIR, SHIPPED

#: Table in front of a graph network, and whether its vectors are trained, at a rate of their own.
ARMS: dict[str, tuple[str, bool]] = {
    "atom_init": ("scaled:atom_init", False),
    "atom_init as published": ("atom_init", False),
    "one-hot": ("scaled:one_hot", False),
    "random, trained": ("random:64:{seed}", True),
    "labelled": ("scaled:{labelled}", False),
    "labelled, trained": ("{labelled}", True),
    "labelled, short vectors": ("{labelled}", False),
    "unlabelled": ("scaled:{unlabelled}", False),
    "permuted": ("permuted:{seed}:scaled:{labelled}", False),
    "labelled beside atom_init": ("joined:scaled:atom_init,scaled:{labelled}", False),
    "coefficients beside atom_init": ("joined:scaled:atom_init,scaled:{coefficients}", False),
}
BESIDE = ("labelled beside atom_init", "coefficients beside atom_init")
TABLE_RATE = {"random, trained": 1.0, "labelled, trained": 0.1}  # against the network's
BACK_ENDS = {"CGCNN": CGCNN, "MEGNet": MEGNet, "ALIGNN": ALIGNN}
#: Whole networks, whatever the back-end.
TRANSFORMERS = ("scratch transformer", "unlabelled transformer", "labelled transformer")
EQUIFORMERS = ("scratch Equiformer", "repairing Equiformer")
WHOLE = (*TRANSFORMERS, *EQUIFORMERS)
SIZES: dict[str, Any] = {"geometry": "periodic", "cutoff": 6.0, "element_width": 64}
SIZES |= {"num_layers": 4, "num_heads": 8, "feedforward_width": 256, "dropout": 0.0}
RATES = {
    "CGCNN": (0.005, 0.015, 0.04),
    "MEGNet": (0.001, 0.003, 0.01),
    "ALIGNN": (0.001, 0.003),
    "transformer": (0.0003, 0.001),
    "Equiformer": (0.001, 0.003),
}


def rates_of(back_end: str, arm: str) -> tuple[float, ...]:
    """The grid of learning rates."""
    return RATES[arm.split()[1] if arm in WHOLE else back_end]


def made(back_end: str, arm: str, seed: int, tables: Mapping[str, Path]) -> nn.Module:
    """A network with a new head."""
    if arm in EQUIFORMERS:
        source = RepairModel.from_pretrained(SHIPPED.find(REPAIR))
        equiformer = Equiformer(1, sizes=source.sizes)
        if arm.startswith("repairing"):
            equiformer.backbone.load_state_dict(source.backbone.state_dict())
        return equiformer
    if arm == "scratch transformer":
        return CrystalTransformer(**SIZES)
    if arm in TRANSFORMERS:
        model = CrystalTransformer.from_pretrained(tables[arm.split(maxsplit=1)[0]] / "artifact")
        model.set_num_outputs(1)
        return model
    table, trainable = ARMS[arm]
    return BACK_ENDS[back_end](
        element_table=table.format(seed=seed, **tables),
        trainable_table=trainable,
        missing_elements="random",
    )
