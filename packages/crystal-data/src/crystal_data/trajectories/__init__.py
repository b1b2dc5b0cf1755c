"""Relaxations: read, made, and what they change."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.trajectories.energies import energies_of as energies_of
    from crystal_data.trajectories.make import make_trajectories as make_trajectories
    from crystal_data.trajectories.potentials import POTENTIALS as POTENTIALS
    from crystal_data.trajectories.potentials import Potential as Potential
    from crystal_data.trajectories.potentials import calculator as calculator
    from crystal_data.trajectories.potentials import potential as potential
    from crystal_data.trajectories.read import hub_trajectories as hub_trajectories
    from crystal_data.trajectories.read import iter_trajectories as iter_trajectories
    from crystal_data.trajectories.relaxation import Change as Change
    from crystal_data.trajectories.relaxation import aligned as aligned
    from crystal_data.trajectories.relaxation import change_between as change_between
    from crystal_data.trajectories.relaxation import changed as changed
    from crystal_data.trajectories.relaxation import nearest_displacements as nearest_displacements
    from crystal_data.trajectories.relaxation import oriented as oriented
    from crystal_data.trajectories.relaxing import Frame as Frame
    from crystal_data.trajectories.relaxing import RelaxationError as RelaxationError
    from crystal_data.trajectories.relaxing import RelaxationSettings as RelaxationSettings
    from crystal_data.trajectories.relaxing import relax as relax
    from crystal_data.trajectories.relaxing_together import relax_many as relax_many
    from crystal_data.trajectories.source import DISPLACEMENT as DISPLACEMENT
    from crystal_data.trajectories.source import STRAIN as STRAIN
    from crystal_data.trajectories.source import RelaxationSource as RelaxationSource
    from crystal_data.trajectories.tasks import TrajectoryOptions as TrajectoryOptions

_EXPORTS = {
    "Change": "crystal_data.trajectories.relaxation",
    "DISPLACEMENT": "crystal_data.trajectories.source",
    "Frame": "crystal_data.trajectories.relaxing",
    "POTENTIALS": "crystal_data.trajectories.potentials",
    "Potential": "crystal_data.trajectories.potentials",
    "RelaxationError": "crystal_data.trajectories.relaxing",
    "RelaxationSettings": "crystal_data.trajectories.relaxing",
    "RelaxationSource": "crystal_data.trajectories.source",
    "STRAIN": "crystal_data.trajectories.source",
    "TrajectoryOptions": "crystal_data.trajectories.tasks",
    "aligned": "crystal_data.trajectories.relaxation",
    "calculator": "crystal_data.trajectories.potentials",
    "change_between": "crystal_data.trajectories.relaxation",
    "changed": "crystal_data.trajectories.relaxation",
    "energies_of": "crystal_data.trajectories.energies",
    "hub_trajectories": "crystal_data.trajectories.read",
    "iter_trajectories": "crystal_data.trajectories.read",
    "make_trajectories": "crystal_data.trajectories.make",
    "nearest_displacements": "crystal_data.trajectories.relaxation",
    "oriented": "crystal_data.trajectories.relaxation",
    "potential": "crystal_data.trajectories.potentials",
    "relax": "crystal_data.trajectories.relaxing",
    "relax_many": "crystal_data.trajectories.relaxing_together",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
