"""What trains models of relaxations."""
