"""What was seen of a run, in the forms of other tools: Perfetto, Mermaid, Graphviz, CSV and SQLite."""
