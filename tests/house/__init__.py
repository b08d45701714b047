"""What tests/test_house.py needs: the imports of a tree as a graph, and the rules they keep."""
