"""Reporting: ledger and statistics become tables that people read. No torch."""
