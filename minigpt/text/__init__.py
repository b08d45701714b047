"""The sources of text: this Python's library, files, the task sets, and the internet."""
