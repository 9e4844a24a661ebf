"""Tuning: each method searches its own settings, on validation images alone. Nothing else imports optuna."""
