"""The library: what `import ptlive` offers. README.md in this folder is its page."""
