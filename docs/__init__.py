"""The documentation: pages in Markdown, and what makes the rest of them from the code."""
