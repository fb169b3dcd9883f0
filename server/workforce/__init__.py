"""The workforce simulator over REST."""
