"""What the researcher designs and what comes back."""
