"""The parts of the made clips: a table with blocks that an arm pushes, how it moves, and how cameras see it."""
