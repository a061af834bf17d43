"""A look at every case before hours are spent on it: what is there, and what is wrong with it."""
