"""The exercises, one file of definitions a lesson; lessons/grading/ checks them."""
