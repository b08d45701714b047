"""The programs that write the task sets, a folder each; make.py calls their generate.generate."""
