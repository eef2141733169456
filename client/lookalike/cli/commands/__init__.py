"""The commands, a file per group: each reads its options, calls the SDK and prints."""
