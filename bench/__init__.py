"""Benches: run by hand, print tables; no tests."""
