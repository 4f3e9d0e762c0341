"""Stories of people at the UI, in a real browser over a running `dev`. `.ci/e2e` runs them."""
