"""What the three command lines have in common: how they speak, load their commands, and end in an error."""
