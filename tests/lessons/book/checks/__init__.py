"""Made-up books, and what must be so in every book: its structure and its colours."""
