"""What makes the shipped files, and what measures speed and coverage."""
