"""Adds orders up."""

import humanize

from shop.model import Order


def totals(orders: list[Order]) -> dict[str, str]:
    """The sum of each customer's orders, for people to read."""
    sums: dict[str, int] = {}
    for order in orders:
        sums[order.customer] = sums.get(order.customer, 0) + order.cents
    return {name: humanize.intcomma(cents / 100, 2) for name, cents in sorted(sums.items())}
