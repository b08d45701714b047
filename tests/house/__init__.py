"""Helpers of tests/test_house.py: the imports of a tree, and the rules that they keep."""
