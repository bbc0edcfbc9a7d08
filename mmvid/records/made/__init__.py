"""The parts of the made demo data: draws that are the same everywhere, labels, features, text and its words."""
