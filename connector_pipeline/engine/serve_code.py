"""`python -m` this module: `python -m dagster`, with a code server that forks its runs."""


def main() -> None:
    """Run the command of Dagster that is in `sys.argv`."""
    # Imported here: `multiprocessing` imports this module in each run, which does without gRPC.
    from connector_pipeline.engine.forking_server import run_dagster

    run_dagster()


if __name__ == "__main__":
    main()
