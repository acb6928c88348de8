"""Encryption of single columns: AES-256-GCM, with the key's id beside the ciphertext."""
