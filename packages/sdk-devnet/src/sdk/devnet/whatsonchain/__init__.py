"""WhatsOnChain's wire (spec/arc.md §3) over the local chain."""
