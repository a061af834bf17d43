"""Pages that a person opens in a browser: one for each case, and one over a cohort."""
