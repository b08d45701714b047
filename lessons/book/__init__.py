"""The lessons as pages of a book and as notebooks: cells, their run, what it leaves."""
