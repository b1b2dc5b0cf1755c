"""The model card of an artifact, written from what is known about it."""

from collections.abc import Mapping, Sequence
from typing import Any

from crystal_data.field import Field


def model_card(
    config: Mapping[str, Any], metadata: Mapping[str, Any], files: Sequence[str] = ()
) -> str:
    """The text of ``README.md``: a YAML head that the hub reads, then tables.

    Args:
        config: Content of ``config.json``.
        metadata: Content of ``metadata.json``.
        files: Names of the extra files.
    """
    kind, base = str(config["kind"]).replace("_", "-"), config["base"]
    return _joined(
        _head(config, [] if kind == "model" else [kind]),
        f"# {config['class_name']}",
        _usage(config),
        _targets(config["targets"]),
        _untrained(config["untrained"]),
        _table("Base model", base or {}),
        _files(files),
        *_origin(config, metadata),
        _table("Metrics", metadata.get("metrics", {})),
        _evaluations(metadata.get("evaluations", []), config["targets"]),
        _table("Versions", metadata.get("versions", {})),
    )


def ensemble_card(
    config: Mapping[str, Any],
    metadata: Mapping[str, Any],
    num_members: int,
    scale: Mapping[str, float],
    floor: Mapping[str, float],
) -> str:
    """The text of ``README.md`` of an ensemble.

    Args:
        config: Content of ``config.json`` of its first member.
        metadata: Content of ``metadata.json`` of its first member, with the evaluations of the
            ensemble.
        num_members: How many members it has.
        scale: For each target the factor between the members' deviation and that of the error;
            empty if it is not calibrated.
        floor: For each target what is added to the members' deviation before the factor.
    """
    return _joined(
        _head(config, ["ensemble"]),
        f"# Ensemble of {num_members} {config['class_name']} models",
        _code(
            "from crystal_data.inference import Ensemble\n\n"
            "ensemble = Ensemble.load(FOLDER)\n"
            "ensemble.predict(crystals)  # crystals, structures of pymatgen or ASE, paths"
        ),
        _targets(config["targets"]),
        "The prediction is the mean of the members, `:std` is their standard deviation.",
        _intervals(scale, floor, config["targets"]),
        *_origin(config, metadata),
        _evaluations(metadata.get("evaluations", []), config["targets"]),
        _table("Versions", metadata.get("versions", {})),
    )


def minimum_in(metadata: Mapping[str, Any], target: str) -> dict[str, float]:
    """What the range of the training labels says a target is never below.

    Artifacts that were written before scales had a minimum tell it in this way alone.

    Args:
        metadata: Content of ``metadata.json``.
        target: Its name.

    Returns:
        The argument ``minimum`` of a scale, or none.
    """
    if not can_be_shown(metadata):
        return {}
    spread = metadata.get("training", {}).get("targets", {}).get(target)
    return {"minimum": 0.0} if spread is not None and spread["min"] == 0 else {}


def can_be_shown(metadata: Mapping[str, Any]) -> bool:
    """Whether metadata can be shown: what they say at all, they say in the usual form."""
    parts = [metadata.get(name, {}) for name in ("data", "training", "metrics", "versions")]
    if not all(isinstance(part, Mapping) for part in parts):
        return False
    training, metrics = parts[1], parts[2]
    if not all(isinstance(value, int | float) for value in metrics.values()):
        return False
    evaluations = metadata.get("evaluations", [])
    if not isinstance(evaluations, list) or not all(map(_is_evaluation, evaluations)):
        return False
    if not training:
        return True
    kinds = {"num_crystals": int, "elements": list, "max_atoms": int, "targets": Mapping}
    if not all(isinstance(training.get(key), kind) for key, kind in kinds.items()):
        return False
    return all(isinstance(symbol, str) for symbol in training["elements"]) and all(
        isinstance(spread, Mapping) and isinstance(spread.get(key), int | float)
        for spread in training["targets"].values()
        for key in ("min", "max", "mean_absolute_deviation", "num_labels")
    )


def _is_evaluation(row: object) -> bool:
    kinds = {"target": str, "data": str, "num_crystals": int | None, "mae": int | float}
    further = {"used_for": str, "coverage": int | float, "width": int | float}
    return (
        isinstance(row, Mapping)
        and all(key in row and isinstance(row[key], kind) for key, kind in kinds.items())
        and all(isinstance(row[key], kind) for key, kind in further.items() if key in row)
        and ("coverage" in row) == ("width" in row)
    )


def _head(config: Mapping[str, Any], kinds: Sequence[str]) -> str:
    """What the hub reads: library, tags, base model."""
    import yaml  # which reading an artifact does without

    base = config["base"]
    tags = ["crystals", "materials-science", str(config["class_name"]).lower(), *kinds]
    head = {
        "library_name": str(config["package"]).replace("_", "-"),
        "tags": tags,
        **({} if base is None else {"base_model": base["id"]}),
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---"


def _joined(*sections: str) -> str:
    return "\n\n".join(section for section in sections if section) + "\n"


def _origin(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> tuple[str, str, str]:
    """Graph, data and range of the training."""
    return (
        _table("Graph", config["graph_spec"] or {}),
        _table("Data", metadata.get("data", {})),
        _training(metadata.get("training", {}), config["targets"]),
    )


def _usage(config: Mapping[str, Any]) -> str:
    if config["targets"]:
        code = (
            "from crystal_data.inference import Predictor\n\n"
            "predictor = Predictor.from_pretrained(FOLDER)\n"
            "predictor.predict(crystals)  # crystals, structures of pymatgen or ASE, paths"
        )
    else:
        variable = str(config["kind"]).rpartition("_")[2]  # model, adapter, table, library
        code = (
            f"from {config['package']} import {config['class_name']}\n\n"
            f"{variable} = {config['class_name']}.from_pretrained(FOLDER)"
        )
    return _code(code)


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _targets(targets: Mapping[str, Mapping[str, Any]]) -> str:
    if not targets:
        return ""
    fields = [Field.from_dict(scale["field"]) for scale in targets.values()]
    rows = [f"| {_cell(_described(field))} | {_cell(field.unit or '–')} |" for field in fields]
    lines = ["## Predicts", "", "| property | unit |", "| --- | --- |", *rows]
    for name, scale in targets.items():
        if scale.get("is_probability"):
            lines += ["", f"{_cell(name)} is the probability of a class, from 0 to 1."]
        elif (minimum := scale.get("minimum")) is not None:
            lines += ["", f"No label of {_cell(name)} in training is below {minimum:g}, so no "]
            lines[-1] += "prediction is: what comes out lower is set to that."
    return "\n".join(lines)


def _described(field: Field) -> str:
    is_number = field.per == "crystal" and not field.shape
    return field.name if is_number else f"{field.name}, {field.words}"


def _unit(targets: Mapping[str, Mapping[str, Any]], name: str) -> str:
    return str(targets[name]["field"]["unit"]) if name in targets else ""


def _training(domain: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]]) -> str:
    """What the model has seen; beyond it nothing is known of its errors."""
    if not domain:
        return ""
    lines = [
        "## Training range",
        "",
        f"{domain['num_crystals']} crystals of up to {domain['max_atoms']} atoms. Elements: "
        f"{' '.join(domain['elements'])}.",
    ]
    if domain["targets"]:
        lines += ["", "| property | from | to | mean absolute deviation | labels |"]
        lines.append("| --- | --- | --- | --- | --- |")
    for name, spread in domain["targets"].items():
        unit = _unit(targets, name)
        cells = [f"{name}, {unit}" if unit else name]
        cells += [spread[key] for key in ("min", "max", "mean_absolute_deviation", "num_labels")]
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines)


def _intervals(
    scale: Mapping[str, float],
    floor: Mapping[str, float],
    targets: Mapping[str, Mapping[str, Any]],
) -> str:
    """What makes the interval of an ensemble out of the members' deviation."""
    if not scale:
        return ""
    lines = [
        "## Intervals",
        "",
        "From `:low90` to `:high90` is the mean ± 1.645 · factor · (`:std` + floor). Factor and "
        "floor were found on labelled crystals, so that the intervals hold 90 % of the labels of "
        "crystals like these.",
        "",
        "| property | factor | floor |",
        "| --- | --- | --- |",
    ]
    for name, factor in scale.items():
        cells = name, factor, f"{floor.get(name, 0.0):.4g} {_unit(targets, name)}".strip()
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines)


def _evaluations(
    rows: Sequence[Mapping[str, Any]], targets: Mapping[str, Mapping[str, Any]]
) -> str:
    """Errors on sets that were measured after training."""
    if not rows:
        return ""
    header = ["property", "data", "crystals", "mean absolute error"]
    has_intervals = any("coverage" in row for row in rows)
    if has_intervals:
        header += ["labels within the interval", "its mean width"]
    was_used = any(row.get("used_for") for row in rows)
    if was_used:
        header.append("used for")
    lines = ["## Evaluations", "", f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for row in rows:
        unit = _unit(targets, row["target"])
        count = "not known" if row["num_crystals"] is None else row["num_crystals"]
        cells = [row["target"], row["data"], count, f"{row['mae']:.4g} {unit}".strip()]
        if has_intervals:
            cells += interval_cells(row, unit)
        if was_used:
            cells.append(row.get("used_for", "–"))
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines)


def interval_cells(row: Mapping[str, Any], unit: str) -> tuple[str, str]:
    """Share of the labels that the intervals hold, and mean width; empty where there are none."""
    if "coverage" not in row:
        return "", ""
    return f"{100 * row['coverage']:.1f} %", f"{row['width']:.4g} {unit}".strip()


def _untrained(names: Sequence[str]) -> str:
    if not names:
        return ""
    return (
        "## Not trained\n\nThese weights are left out and fresh in every model that is built: "
        f"{', '.join(f'`{name}`' for name in names)}. Train them with `--init_from FOLDER`."
    )


def _files(names: Sequence[str]) -> str:
    if not names:
        return ""
    return "\n".join(["## Extra files", "", *(f"- `{name}`" for name in names)])


def _table(title: str, values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    rows = [f"| {_cell(key)} | {_cell(value)} |" for key, value in values.items()]
    return "\n".join([f"## {title}", "", "| | |", "| --- | --- |", *rows])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        value = f"{value:.6g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
