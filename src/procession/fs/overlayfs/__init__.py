"""overlayfs: a tree that is several trees seen one upon the other, of which only the topmost is written."""
