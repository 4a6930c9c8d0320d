"""Files that go between a machine and the host: changes kept as a layer, volumes, copies."""
