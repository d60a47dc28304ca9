"""What every stage shares about being trained."""
