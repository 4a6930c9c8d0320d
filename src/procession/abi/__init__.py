"""What Linux x86-64 and its programs agree on: numbers, flags and struct layouts."""
