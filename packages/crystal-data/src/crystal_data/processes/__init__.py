"""Several processes at work: sums over them, parents and signals, locks, and error reporting."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.processes.distributed import GlobalBatchNorm1d as GlobalBatchNorm1d
    from crystal_data.processes.distributed import all_reduce_sum as all_reduce_sum
    from crystal_data.processes.distributed import global_mean as global_mean
    from crystal_data.processes.distributed import without_statistics as without_statistics
    from crystal_data.processes.distributed import world_size as world_size
    from crystal_data.processes.error_reporting import report_errors as report_errors
    from crystal_data.processes.parallel import map_in_order as map_in_order
    from crystal_data.processes.parent import as_parent as as_parent
    from crystal_data.processes.parent import end_with_parent as end_with_parent
    from crystal_data.processes.signals import until_signal as until_signal

# torch takes seconds to import, so each part loads on first use.
_EXPORTS = {
    "GlobalBatchNorm1d": "crystal_data.processes.distributed",
    "all_reduce_sum": "crystal_data.processes.distributed",
    "as_parent": "crystal_data.processes.parent",
    "end_with_parent": "crystal_data.processes.parent",
    "global_mean": "crystal_data.processes.distributed",
    "map_in_order": "crystal_data.processes.parallel",
    "report_errors": "crystal_data.processes.error_reporting",
    "until_signal": "crystal_data.processes.signals",
    "without_statistics": "crystal_data.processes.distributed",
    "world_size": "crystal_data.processes.distributed",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
