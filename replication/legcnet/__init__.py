"""Paper A, LEGCNet (arXiv 2308.09955): its procedure, its tables, and what follows from our runs of it."""
