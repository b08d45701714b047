"""The pictures in README.md, and how they are made: `python -m lessons.book.pictures.make`."""
