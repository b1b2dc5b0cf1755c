"""One spectrum for all: how good is the mean or median phonon density of states of training rows?

python benchmarks/mean_spectrum.py DATA
"""

import argparse

import torch

from crystal_data import JarvisSupercon, open_store
from crystal_data.training import TargetErrors

TARGET = "phonon_dos"


def main() -> None:
    """Prints mean absolute error and cosine similarity on the test rows that have a spectrum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="folder of the data sets")
    store = open_store(JarvisSupercon(parser.parse_args().data), on_invalid="skip")
    labels = {
        split: torch.as_tensor(store.targets([TARGET], store.rows_of(split))[TARGET])
        for split in ("train", "test")
    }
    spectra = {"mean": labels["train"].nanmean(0), "median": labels["train"].nanmedian(0).values}
    for name, spectrum in spectra.items():
        errors = TargetErrors([store.field(TARGET)])
        errors.update(spectrum.expand_as(labels["test"]), labels["test"])
        found = {metric: f"{one.value:.4f}" for metric, one in errors.compute().items()}
        print(name, *(f"{metric} {value}" for metric, value in found.items()))


if __name__ == "__main__":
    main()
