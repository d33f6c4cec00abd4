"""ARC's wire (spec/arc.md §1) over the local chain."""
