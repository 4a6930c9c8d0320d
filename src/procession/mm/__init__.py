"""Address spaces: areas, page tables, demand paging, the page cache."""
