"""Many watchers and one API key: what an API allows is used, and never passed. Real processes, a fake API."""
