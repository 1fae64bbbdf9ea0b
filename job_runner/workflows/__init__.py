"""What plans work: each workflow writes a manifest of tasks, and knows neither Redis nor the command line."""
