"""Where text comes from: this Python's library, files, the task sets, the internet."""
