"""The file system cgroup2: control groups as directories, and their settings as files (cgroups(7))."""
