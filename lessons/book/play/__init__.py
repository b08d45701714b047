"""The figures of the book that can be played with, in plain JavaScript, and what they are given."""
