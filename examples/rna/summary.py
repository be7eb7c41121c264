"""Puts the counts of all samples into one table."""

import json
from pathlib import Path
from typing import Any


def summarise(counts: dict[str, str], reports: dict[str, Path]) -> dict[str, Any]:
    """Joins the output of `samtools idxstats` and fastp's reports by sample."""
    table: dict[str, dict[str, int]] = {}
    for sample, text in counts.items():
        for line in text.splitlines():
            transcript, _, mapped, _ = line.split("\t")
            if transcript != "*":
                table.setdefault(transcript, {})[sample] = int(mapped)
    passed = {}
    for sample, path in reports.items():
        summary = json.loads(path.read_text())["summary"]
        passed[sample] = summary["after_filtering"]["total_reads"]
    return {"counts": table, "reads": passed}
