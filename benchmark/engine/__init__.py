"""Engines: who runs the plan."""
