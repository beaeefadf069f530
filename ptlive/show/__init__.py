"""Results as people and programs read them: text and JSON. Nothing here decides anything."""
