"""Fine-tuning: every method behind one table, one run."""
