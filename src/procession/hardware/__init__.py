"""The emulated machine below the kernel: memory, registers, processors."""
