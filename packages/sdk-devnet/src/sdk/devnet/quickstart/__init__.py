"""The main job from end to end, every step checked: ``scripts/quickstart`` runs it."""
