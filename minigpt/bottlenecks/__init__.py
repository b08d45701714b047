"""Bottleneck adapters: small networks behind the sublayers of a frozen model."""
