"""Tables of an evaluation for the terminal."""

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crystal_data.metrics.result import MetricResult

if TYPE_CHECKING:
    from crystal_data.generation.evaluation import GeneratedEvaluation

_LENGTHS = ("rmse", "crmse")  # the other metrics are shares


def show_evaluation(
    evaluation: "GeneratedEvaluation", differences: Sequence[MetricResult], against: str | None
) -> None:
    """Prints results, those of the strata, and differences from another folder.

    Args:
        evaluation: What was found.
        differences: Of the other folder.
        against: Its name; None if there is none.
    """
    console = Console()
    whole, strata = _divided(evaluation.results)
    parameters = whole[0].parameters
    counts = {
        "references": len(evaluation.per_reference["id"]),
        "without a structure": parameters["num_without_samples"],
        "structures": len(evaluation.per_sample["request"]),
        "not built": parameters["num_no_prediction"],
        "time-outs": parameters["num_timeout"],
        "errors": parameters["num_error"],
    }
    line = ", ".join(f"{name} {count}" for name, count in counts.items())
    console.print(line, soft_wrap=True)
    console.print(_table(whole))
    if strata:
        console.print(_strata_table(strata))
    if differences:
        console.print(escape(f"difference from {against} on the same references"))
        whole, strata = _divided(differences)
        console.print(_table(whole))
        if strata:
            console.print(_strata_table(strata))


def _divided(results: Sequence[MetricResult]) -> tuple[list[MetricResult], list[MetricResult]]:
    """Results of all references, and those of strata."""
    whole = [result for result in results if not _stratum(result.metric)]
    return whole, [result for result in results if _stratum(result.metric)]


def _table(results: Sequence[MetricResult]) -> Table:
    table = Table("metric", "value", "95 % interval", "of")
    for column in table.columns[1:]:
        column.justify = "right"
    for result in results:
        name, parameters = result.metric, result.parameters
        interval = ""
        if "low" in parameters:
            interval = f"{_text(name, parameters['low'])} to {_text(name, parameters['high'])}"
        table.add_row(escape(name), _text(name, result.value), interval, str(result.num_samples))
    return table


def _strata_table(results: Sequence[MetricResult]) -> Table:
    metrics = list(dict.fromkeys(result.metric.rpartition("/")[0] for result in results))
    strata = list(dict.fromkeys(_stratum(result.metric) for result in results))
    by_name = {result.metric: result for result in results}
    table = Table("stratum", "of")
    table.columns[0].no_wrap = True
    for metric in metrics:
        table.add_column(metric.removesuffix("/none").replace("match_rate", "match"))
    for column in table.columns[1:]:
        column.justify = "right"
    for stratum in strata:
        found = [by_name[f"{metric}/{stratum}"] for metric in metrics]
        cells = [_text(result.metric, result.value) for result in found]
        table.add_row(stratum, str(max(result.num_samples for result in found)), *cells)
    return table


def _stratum(metric: str) -> str:
    """The stratum that a metric belongs to; empty for all references."""
    last = metric.rpartition("/")[2]
    return last if "=" in last else ""


def _text(metric: str, value: float) -> str:
    if isnan(value):
        return "–"
    is_length = metric.removeprefix("difference/").startswith(_LENGTHS)
    return f"{value:.4f}" if is_length else f"{100 * value:.1f} %"
