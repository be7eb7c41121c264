"""Reads orders from CSV files."""

import csv
from pathlib import Path

from ..model import Order


def read(table: Path) -> list[Order]:
    """Reads the columns customer and price."""
    with table.open(newline="") as f:
        return [Order(row["customer"], round(float(row["price"]) * 100)) for row in csv.DictReader(f)]
