"""The API server: kinds, objects, patches, server-side apply, watch and REST. Knows nothing of containers."""
