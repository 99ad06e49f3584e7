"""One file a suite, each with a SUITE; run.py finds them by their names."""
