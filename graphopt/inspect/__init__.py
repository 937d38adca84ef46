"""Looking at models: statistics, differences, reports."""
