"""The course: one numbered script a lesson, which imports the library and shows it at work."""
