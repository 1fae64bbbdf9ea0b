"""Everything that the two faces of job-runner share; it imports neither of them."""
