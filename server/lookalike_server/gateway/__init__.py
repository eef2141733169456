"""HTTP for those without gRPC: the same services, the same messages as JSON, the catalogue's pictures, and the page."""
