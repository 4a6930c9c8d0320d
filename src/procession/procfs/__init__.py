"""The kernel seen as files: proc and sysfs."""
