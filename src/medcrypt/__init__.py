"""medcrypt: a small cryptographic core for privacy-preserving medical imaging."""
