"""What happens in a session: a pure core (this folder), its runtime (runtime/) and the models (llm/)."""
