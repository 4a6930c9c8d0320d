"""The native engine: translated code in stub processes, one for each address space."""
