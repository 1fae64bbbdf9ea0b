"""One suite over fakeredis, the bundled Valkey and Redis 7.0: what every script of the queue must do."""
