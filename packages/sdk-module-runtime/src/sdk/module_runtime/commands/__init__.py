"""Sub-commands of ``sdk runtime``, imported when they are called."""
