"""MLflow mirrors the ledger: a parent run for an experiment, a child for each run. Nothing else imports mlflow."""
