"""For the people who work on ferfuse: the speed bench. Not installed."""
