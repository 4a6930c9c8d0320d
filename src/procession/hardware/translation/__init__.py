"""Running code by translating it: what a machine of the same architecture needs to know of instructions."""
