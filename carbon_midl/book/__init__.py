"""From recorded results to the book: numbers, figures, tables and the executed notebooks, then the HTML."""
