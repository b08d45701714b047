"""Soft prompts: trained vectors, or keys and values, before every text of a frozen model."""
