"""The course: each lesson is a numbered script that imports the library and shows it at work."""
