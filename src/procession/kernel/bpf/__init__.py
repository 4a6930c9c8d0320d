"""eBPF: programs that bpf(2) loads, how they are checked, and how they are run."""
