"""Paper A on MNIST: the network 784-50-30-10, its tables' last row, as far as it can be re-made without their CSV."""
