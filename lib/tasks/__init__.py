"""What a job can do: one module a task family, and the registry that names them."""
