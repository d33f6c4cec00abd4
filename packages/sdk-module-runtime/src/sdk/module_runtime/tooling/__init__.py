"""For whoever writes modules: new projects, checks, what an application routes, build information."""
