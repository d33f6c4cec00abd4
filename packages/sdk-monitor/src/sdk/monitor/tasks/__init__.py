"""One module for each task: when it is due, and what comes after. What it does to money is the backend's."""
