"""What the warm process imports at its start (engine/forked_runs.py). Nobody else imports it."""

from connector_pipeline.engine.forked_runs import become_warm

become_warm()
