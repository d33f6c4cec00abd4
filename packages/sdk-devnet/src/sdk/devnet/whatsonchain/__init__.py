"""WhatsOnChain's wire (spec/arc.md §3), as far as wallets use it, over the local chain."""
