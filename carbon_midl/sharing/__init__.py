"""Results that leave the machine they were made on: checked against their own tables, packed, and merged from parts."""
