"""Paragraphs found in another way than the library finds them."""


def one_line(text: str) -> str:
    return " ".join(text.split())


def blocks(text: str) -> list[str]:
    """Returns the paragraphs, each on one line; found line by line."""
    found, lines = [], []
    for line in [*text.split("\n"), ""]:
        if line.strip():
            lines.append(line)
        elif lines:
            found.append(one_line(" ".join(lines)))
            lines = []
    return found
