"""Figures: one a file, each a function from ledger and verdicts to numbers, and one that draws them. No torch."""
