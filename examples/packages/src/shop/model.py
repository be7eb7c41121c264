"""What the packages share."""

from dataclasses import dataclass


@dataclass
class Order:
    customer: str
    cents: int
