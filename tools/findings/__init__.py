"""What a published ledger shows, in words that follow from its numbers: docs/findings.md and README's first screen."""
