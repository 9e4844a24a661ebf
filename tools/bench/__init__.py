"""How fast the suite is, as a ratio to the plain way of writing the same work, measured side by side."""
