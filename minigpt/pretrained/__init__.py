"""Models as folders: GPT-2's published weights in, ours out."""
