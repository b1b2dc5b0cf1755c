"""From a wish to files: requests, and generated structures written and read."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.generation.arguments import add_request_options as add_request_options
    from crystal_data.generation.arguments import parse_wish as parse_wish
    from crystal_data.generation.arguments import parse_z as parse_z
    from crystal_data.generation.arguments import requests_from as requests_from
    from crystal_data.generation.assignment import count_assignments as count_assignments
    from crystal_data.generation.evaluate import EvaluationSettings as EvaluationSettings
    from crystal_data.generation.evaluate import evaluate_generated as evaluate_generated
    from crystal_data.generation.evaluation import GeneratedEvaluation as GeneratedEvaluation
    from crystal_data.generation.evaluation import paired_differences as paired_differences
    from crystal_data.generation.evaluation import write_evaluation as write_evaluation
    from crystal_data.generation.generate import GenerationResult as GenerationResult
    from crystal_data.generation.generate import Generator as Generator
    from crystal_data.generation.generate import generate_all as generate_all
    from crystal_data.generation.read import GeneratedStructure as GeneratedStructure
    from crystal_data.generation.read import read_generated as read_generated
    from crystal_data.generation.request import GenerationRequest as GenerationRequest
    from crystal_data.generation.request import Quantity as Quantity
    from crystal_data.generation.request_files import read_requests as read_requests
    from crystal_data.generation.request_files import request_from_diffcsp as request_from_diffcsp
    from crystal_data.generation.request_files import request_to_diffcsp as request_to_diffcsp
    from crystal_data.generation.strata_file import read_strata as read_strata
    from crystal_data.generation.strata_file import write_strata as write_strata
    from crystal_data.generation.task import GeneratedSample as GeneratedSample
    from crystal_data.generation.task import Task as Task
    from crystal_data.generation.task import sample_seed as sample_seed
    from crystal_data.generation.task import tasks_of as tasks_of
    from crystal_data.generation.words import RequestError as RequestError
    from crystal_data.generation.writer import GenerationFolderError as GenerationFolderError
    from crystal_data.generation.writer import StructureWriter as StructureWriter
    from crystal_data.generation.wyckoff_sites import WyckoffSite as WyckoffSite

_EXPORTS = {
    "EvaluationSettings": "crystal_data.generation.evaluate",
    "GeneratedEvaluation": "crystal_data.generation.evaluation",
    "GeneratedSample": "crystal_data.generation.task",
    "GeneratedStructure": "crystal_data.generation.read",
    "GenerationFolderError": "crystal_data.generation.writer",
    "GenerationRequest": "crystal_data.generation.request",
    "GenerationResult": "crystal_data.generation.generate",
    "Generator": "crystal_data.generation.generate",
    "Quantity": "crystal_data.generation.request",
    "RequestError": "crystal_data.generation.words",
    "StructureWriter": "crystal_data.generation.writer",
    "Task": "crystal_data.generation.task",
    "WyckoffSite": "crystal_data.generation.wyckoff_sites",
    "add_request_options": "crystal_data.generation.arguments",
    "count_assignments": "crystal_data.generation.assignment",
    "evaluate_generated": "crystal_data.generation.evaluate",
    "generate_all": "crystal_data.generation.generate",
    "paired_differences": "crystal_data.generation.evaluation",
    "parse_wish": "crystal_data.generation.arguments",
    "parse_z": "crystal_data.generation.arguments",
    "read_generated": "crystal_data.generation.read",
    "read_requests": "crystal_data.generation.request_files",
    "read_strata": "crystal_data.generation.strata_file",
    "request_from_diffcsp": "crystal_data.generation.request_files",
    "request_to_diffcsp": "crystal_data.generation.request_files",
    "requests_from": "crystal_data.generation.arguments",
    "sample_seed": "crystal_data.generation.task",
    "tasks_of": "crystal_data.generation.task",
    "write_evaluation": "crystal_data.generation.evaluation",
    "write_strata": "crystal_data.generation.strata_file",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
