"""The page of a report: one file with its styles, scripts and figures, which opens without a server or network."""
