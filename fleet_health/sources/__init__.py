"""Where observations come from. A source knows no detector; it says what it saw, and how well it sees."""
