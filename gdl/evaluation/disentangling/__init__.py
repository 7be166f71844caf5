"""How well single latents stand for single factors of variation."""
