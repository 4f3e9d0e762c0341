"""`python -m connector_pipeline.cli` is `connector-pipeline`."""

from connector_pipeline.cli.main import main

main()
