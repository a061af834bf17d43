"""Parts that networks share; each is a whole that can be read, tested and lifted out alone."""
