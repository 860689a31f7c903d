"""Parts of the latent tree model."""
