"""Container images as the host has them: OCI layouts and archives of `docker save`, and none trusted."""
