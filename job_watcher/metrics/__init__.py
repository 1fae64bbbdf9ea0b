"""What an operator sees of a watcher over HTTP: metrics and health; absent unless `--metrics-port` is given."""
