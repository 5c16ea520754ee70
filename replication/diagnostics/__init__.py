"""Effects of pruning other than on accuracy: operations, time, energy, spectra, explanations, distance to dense."""
