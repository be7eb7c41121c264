"""Stands in for a model of protein structure."""


def run_fold(sequence, msa):
    return [sequence, msa.read_text()]


def run_relax(structure):
    return structure
