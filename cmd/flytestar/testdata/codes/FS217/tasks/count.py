def count(rows):
    return len(rows)
