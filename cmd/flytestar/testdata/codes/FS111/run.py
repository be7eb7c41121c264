from pathlib import Path


def fold(sequence: str, msa: Path, seed: int = 0) -> Path:
    return msa
