"""What a document is made of."""

from dataclasses import dataclass
from pathlib import Path


class EmptyDocument(Exception):
    """The document has no words."""


@dataclass
class Description:
    words: int
    longest: str


def describe(document: Path, shortest: int = 1) -> Description:
    """Counts the words that have at least `shortest` letters."""
    words = [w.strip(".,") for w in document.read_text(encoding="utf-8").split()]
    words = [w for w in words if len(w) >= shortest]
    if not words:
        raise EmptyDocument(document.name)
    return Description(len(words), max(words, key=len))
