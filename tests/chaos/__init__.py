"""What happens to real watchers on a real server when things are killed, paused, cut off and damaged."""
