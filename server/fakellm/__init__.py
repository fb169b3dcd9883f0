"""A provider that is none: it speaks the wires of Gemini, Groq and OpenAI-compatible servers, and fails as told."""
