"""The same numbers sooner: each file names its plain form, which is its test."""
