"""The daemon that runs jobs: loops and processes only; what a job is and where it is kept is `lib`'s."""
