"""Templates: each module builds (``lock``, ``unlock``) and reads (``decode``) scripts of one shape."""
