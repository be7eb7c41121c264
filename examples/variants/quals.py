"""Plots how sure the caller is of its variants."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def plot(calls: Path) -> Path:
    """Draws a histogram of the column QUAL of a VCF file."""
    rows = [line.split("\t") for line in calls.read_text().splitlines() if not line.startswith("#")]
    plt.hist([float(row[5]) for row in rows])
    plt.xlabel("quality")
    plt.savefig("quals.svg")
    return Path("quals.svg")
