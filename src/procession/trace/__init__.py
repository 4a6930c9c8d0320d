"""What a run did, as text and records; watching never changes the run."""
