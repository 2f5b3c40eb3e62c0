"""What people get to see: tables on a terminal, pages, figures, and files for other tools."""
