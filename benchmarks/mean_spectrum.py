"""One spectrum for all: how good is the mean or median phonon density of states of training rows?

python benchmarks/mean_spectrum.py DATA
"""

import argparse

import torch
from measuring import RESULTS, write

from crystal_data import JarvisSupercon, open_store
from crystal_data.training import TargetErrors

TARGET = "phonon_dos"


def main() -> None:
    """Mean absolute error and cosine similarity on the test rows that have a spectrum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="folder of the data sets")
    store = open_store(JarvisSupercon(parser.parse_args().data), on_invalid="skip")
    labels = {
        split: torch.as_tensor(store.targets([TARGET], store.rows_of(split))[TARGET])
        for split in ("train", "test")
    }
    spectra = {"mean": labels["train"].nanmean(0), "median": labels["train"].nanmedian(0).values}
    found = {}
    for name, spectrum in spectra.items():
        errors = TargetErrors([store.field(TARGET)])
        errors.update(spectrum.expand_as(labels["test"]), labels["test"])
        found[name] = {metric: float(one.value) for metric, one in errors.compute().items()}
        print(name, *(f"{metric} {value:.4f}" for metric, value in found[name].items()))
    write(RESULTS / "mean-spectrum.json", {"data": "jarvis_supercon", "spectra": found})


if __name__ == "__main__":
    main()
