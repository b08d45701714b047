"""Tasks: from records to prompts, rows, answers and scores."""
