"""Estimates what analysis costs before it is paid for."""
