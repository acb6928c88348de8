"""How the platform's pieces ask each other."""

import ssl

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""What to verify with where no TLS is spoken: it trusts nobody, and spares the reading of everybody's certificates."""
