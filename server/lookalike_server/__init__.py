"""The service: photos in, products out."""
