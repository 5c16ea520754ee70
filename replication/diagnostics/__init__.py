"""What pruning does beside accuracy: operations and time, spectra, explanations, distance to the dense network."""
