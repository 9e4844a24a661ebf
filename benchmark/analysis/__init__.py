"""Ledger and questions in, one report of numbers out: no text, no file written, nothing that needs torch."""
