"""A whole private Sigstore and OCI registries on loopback, made of the real servers."""
