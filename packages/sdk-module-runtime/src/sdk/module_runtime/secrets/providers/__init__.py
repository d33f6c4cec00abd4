"""Sources of secrets; each imports what it needs only when it is used."""
